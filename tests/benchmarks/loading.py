"""Load about 900 MB of weights: seconds and peak memory against the floor and against the usual copying.

A VQGAN of width 352 (the published one has 128) is written as a model's folder and as a
.ckpt. Sides, each in a process forked after the imports, the page cache warm, every one ending with the same checksum
of one tensor:

  ours     zoo.load(folder): card, family, meta build, safetensors mapped and assigned, strict check of keys and shapes
  floor    the same net built on the meta device, safetensors.torch.load_file, load_state_dict(assign=True)
  copying  the net built with random values, torch.load, load_state_dict: what taming and DALLE-pytorch do

zoo.load checks the file's sha256 against its card, once a file; what that costs at the first load is given apart.
Memory is what the load added to the resident size of the process at its highest.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import zoo
from tests.benchmarks.harness import Result, Rounds
from tests.benchmarks.processes import read_once
from zoo.card import Card
from zoo.plugins import family
from zoo.saving import described, write_card

TIME, MEMORY = 1.15, 10.0
WIDTHS = [352, 352, 704, 704, 1056]
WATCHED = "decoder.conv_out.weight"


@dataclass(frozen=True)
class Load:
    """One load in one process: seconds, bytes added to the resident size (at the end, at its peak), checksum."""

    wall: float
    cpu: float
    kept: int
    peak: int
    checksum: float


def config(widths: list[int]) -> dict[str, Any]:
    """A VQGAN of these widths, as a card writes it."""
    sides = {
        "latent": 256,
        "channels": 3,
        "widths": widths,
        "blocks": 1,
        "attention": [len(widths) - 1],
        "groups": 32,
    }
    quantizer = {
        "kind": "vector",
        "codes": 16384,
        "dim": 256,
        "learn": "gradient",
        "statistics": False,
    }
    return {"encoder": sides, "decoder": dict(sides), "quantizer": quantizer}


def build(folder: Path) -> torch.nn.Module:
    """The folder's net with its first, random values (or none, on the meta device)."""
    card = Card.read(folder)
    net: torch.nn.Module = family(card.family).call("build", config=card.config, parts={})
    return net


def ours(folder: Path) -> torch.nn.Module:
    return zoo.load(folder).net


def floor(folder: Path) -> torch.nn.Module:
    with torch.device("meta"):
        net = build(folder)
    net.load_state_dict(load_file(folder / "model.safetensors"), assign=True)
    return net.eval()


def copying(folder: Path) -> torch.nn.Module:
    net = build(folder)
    net.load_state_dict(torch.load(folder / "last.ckpt", map_location="cpu")["state_dict"])
    return net.eval()


def forked(load: Callable[[Path], torch.nn.Module], folder: Path, watched: str = WATCHED) -> Load:
    """One load in a child of this process, which has imported everything and loaded nothing. Linux only."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reader)
            Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
            before = _status("VmRSS")
            spent, started = time.process_time(), time.perf_counter()
            net = load(folder)
            wall, cpu = time.perf_counter() - started, time.process_time() - spent
            peak, kept = _status("VmHWM") - before, _status("VmRSS") - before
            checksum = net.state_dict()[watched].double().sum().item()
            os.write(writer, json.dumps([wall, cpu, kept, peak, checksum]).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"{load.__name__}: the loading process failed")
    return Load(*json.loads(said))


def by_turns(
    sides: Mapping[str, Callable[[Path], torch.nn.Module]],
    folder: Path,
    rounds: int,
    watched: str = WATCHED,
) -> tuple[Load, dict[str, list[Load]]]:
    """The first load of the first side, then those of every side by turns. Raises SystemExit if they differ."""
    names = list(sides)
    first = forked(sides[names[0]], folder, watched)
    loads: dict[str, list[Load]] = {name: [] for name in names}
    for turn in range(rounds):
        for at in range(len(names)):
            name = names[(turn + at) % len(names)]
            loads[name].append(forked(sides[name], folder, watched))
    sums = {each.checksum for side in loads.values() for each in side} | {first.checksum}
    if len(sums) != 1:
        raise SystemExit(f"the sides did not load the same weights: {sums}")
    return first, loads


def seconds(loads: Mapping[str, list[Load]]) -> Rounds:
    """Of loads by turns."""
    return Rounds(
        {name: [each.wall for each in side] for name, side in loads.items()},
        {name: [each.cpu for each in side] for name, side in loads.items()},
        1,
    )


def run(rounds: int) -> Iterator[Result | str]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "wide")
        os.environ["ZOO_HOME"] = str(Path(place, "home"))
        small = Path(place, "small")
        _write(small, config([32, 64]))
        for load in (ours, floor, copying):
            load(small)  # imports what each side imports, so that none pays for it below
        size = _write(folder, config(WIDTHS))
        for name in ("model.safetensors", "last.ckpt"):
            read_once(folder / name)
        sides: dict[str, Callable[[Path], torch.nn.Module]] = {
            "ours": ours,
            "floor": floor,
            "copying": copying,
        }
        first, loads = by_turns(sides, folder, rounds)
    yield f"same weights: {size / 1e6:.0f} MB, one checksum on all sides"
    found = seconds(loads)
    result = found.judge("load, seconds", "ours", "floor", 1 / TIME)
    result.text += f"; ours may take {TIME} times the floor, so the target is {1 / TIME:.2f}"
    yield result
    yield Result(
        "load, seconds",
        "info",
        f"x copying: CPU {found.ratio('ours', 'copying', 'cpu').text()}; first load of a file, with its sha256 and a "
        f"look for NaN: {first.wall:.2f} s wall, {first.cpu:.2f} s CPU, once",
        {"first_wall": first.wall, "first_cpu": first.cpu},
    )
    peaks = {name: statistics.median(each.peak for each in side) for name, side in loads.items()}
    kept = {name: statistics.median(each.kept for each in side) for name, side in loads.items()}
    ratio = peaks["copying"] / peaks["ours"]
    text = ", ".join(f"{name} {peaks[name] / 2**20:.0f}" for name in peaks)
    yield Result(
        "load, peak memory",
        "pass" if ratio >= MEMORY else "MISS",
        f"{ratio:.0f} times less than copying (target {MEMORY:.0f}); MiB at the highest: {text}; first load "
        f"{first.peak / 2**20:.0f}",
        {"peaks": peaks, "kept": kept, "first_peak": first.peak, "target": MEMORY},
    )


def _status(field: str) -> int:
    """VmRSS or VmHWM of this process, bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {field}")


def _write(folder: Path, shape: dict[str, Any]) -> int:
    """The model's folder, with a card, and the .ckpt; the bytes of weights."""
    from zoo import weights

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    state = family("vq").call("build", config=shape, parts={}).state_dict()
    file = folder / "model.safetensors"
    weights.save(file, state)
    torch.save({"state_dict": state}, folder / "last.ckpt")
    size = file.stat().st_size
    card = Card(
        name="wide",
        family="vq",
        version="1.0.0",
        license="unknown",
        config=shape,
        image=(3, 256, 256),
        latent=(16, 16),
        latent_kind="tokens",
        codes=16384,
        files={file.name: described(file)},
    )
    write_card(card, folder)
    return size
