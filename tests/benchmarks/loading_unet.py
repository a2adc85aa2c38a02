"""Load the U-Net of Stable Diffusion 1.x, 860M parameters in float16: seconds and peak memory against the floor.

    ours   zoo.load(folder, dtype=torch.float16): card, family, meta build, safetensors mapped and assigned
    floor  the same net built on the meta device, safetensors.torch.load_file, load_state_dict(assign=True)

Each in a process forked after the imports, the page cache warm, every one ending with the same checksum of one tensor;
see `tests.benchmarks.loading`. The weights are one million normal numbers over and over.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import zoo
from tests.benchmarks.harness import Result
from tests.benchmarks.loading import by_turns, floor, seconds
from tests.benchmarks.processes import read_once
from zoo import weights
from zoo.card import Card
from zoo.plugins import family
from zoo.saving import described, write_card

TIME = MEMORY = 1.15  # of the floor's, at most
WATCHED = "network.conv.weight"
UNET: dict[str, Any] = {
    "kind": "unet",
    "channels": 4,
    "outputs": 4,
    "widths": [320, 640, 1280, 1280],
    "blocks": 2,
    "time": {"width": 320, "embed": 1280, "order": "cos-sin", "shift": 0.0},
    "attention": {"levels": [0, 1, 2], "heads": 8, "context": 768},
    "residual": {"groups": 32, "eps": 1e-5, "modulation": "shift"},
    "down": "conv",
    "up": "conv",
}


def ours(folder: Path) -> torch.nn.Module:
    return zoo.load(folder, dtype=torch.float16).net


def run(rounds: int) -> Iterator[Result | str]:
    sides: dict[str, Callable[[Path], torch.nn.Module]] = {"ours": ours, "floor": floor}
    with tempfile.TemporaryDirectory() as place:
        os.environ["ZOO_HOME"] = str(Path(place, "home"))
        small, folder = Path(place, "small"), Path(place, "unet")
        write(small, {**UNET, "widths": [32, 64, 64, 64]})
        for load in sides.values():
            load(small)  # imports what each side imports, so that none pays for it below
        count = write(folder, UNET)
        read_once(folder / "model.safetensors")
        first, loads = by_turns(sides, folder, rounds, WATCHED)
    yield f"same weights: {count / 1e6:.1f}M parameters, one checksum on both sides"
    result = seconds(loads).judge("load, seconds", "ours", "floor", 1 / TIME)
    result.text += (
        f"; ours may take {TIME} times the floor; with the sha256, once: {first.wall:.2f} s"
    )
    yield result
    peaks = {name: statistics.median(each.peak for each in side) for name, side in loads.items()}
    ratio = peaks["ours"] / peaks["floor"]
    text = ", ".join(f"{name} {peak / 2**20:.0f}" for name, peak in peaks.items())
    yield Result(
        "load, peak memory",
        "pass" if ratio <= MEMORY else "MISS",
        f"{ratio:.2f} of the floor's (at most {MEMORY}); MiB at the highest: {text}",
        {"peaks": peaks, "first_peak": first.peak},
    )


def write(folder: Path, net: dict[str, Any]) -> int:
    """A model's folder with such a U-Net in float16; its parameters."""
    config = {
        "image": [3, 512, 512],
        "latent": [4, 64, 64],
        "net": net,
        "process": {"schedule": "scaled-linear"},
    }
    with torch.device("meta"):
        shapes = family("ldm").call("build", config=config, parts={}).state_dict()
    numbers = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).half()
    state = {}
    for name, each in shapes.items():
        times = -(-each.numel() // len(numbers))
        state[name] = numbers.repeat(times)[: each.numel()].view(each.shape)
    folder.mkdir(parents=True)
    file = folder / "model.safetensors"
    weights.save(file, state)
    card = Card(
        name=folder.name, family="ldm", version="1.0.0", license="unknown", config=config, image=(3, 512, 512),
        files={file.name: described(file)},
    )  # fmt: skip
    write_card(card, folder)
    return sum(each.numel() for each in state.values())
