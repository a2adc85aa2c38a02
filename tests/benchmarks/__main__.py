"""Run benchmarks, each in a process of its own, one thread each.

    python -m tests.benchmarks [NAME...] [--list] [--rounds N] [--json FILE]

Exit status: 0 everything passes, 1 a target is missed or a peer is absent, 2 nothing missed but something inconclusive.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

# name: what it asks, rounds
BENCHMARKS = {
    "importing": ("import zoo and zoo list, in CPU seconds of a fresh process", 9),
    "building": ("a fresh process up to a built VQGAN, against diffusers'", 7),
    "loading": (
        "load a 900 MB model: time and peak memory against the floor and against copying",
        7,
    ),
    "loading_unet": ("load Stable Diffusion 1.x's U-Net in half precision against the floor", 7),
    "codec": ("VQGAN f16 encode and decode against taming-transformers and diffusers", 7),
    "lookup": ("nearest of 16,384 codes of 256 against taming and vector-quantize-pytorch", 21),
    "pixels": ("sample a PixelCNN at 28 x 28 remembering activations, against recomputing", 5),
    "flows": ("RealNVP log_prob, sampling and training step against zuko", 15),
    "coding": ("entropy coding and decoding against compressai, bits against the entropy", 11),
    "denoising": ("a U-Net step against diffusers and denoising-diffusion-pytorch", 9),
    "compiling": ("ddpm-cifar10 by torch.compile against itself as it is", 7),
    "controlling": (
        "a conditional U-Net step, with and without a ControlNet, against diffusers",
        9,
    ),
    "decoding": ("a KL autoencoder's encode and decode against diffusers' AutoencoderKL", 9),
    "first": (
        "a cold process to its first latent diffusion picture, against a diffusers pipeline",
        7,
    ),
    "tokens": ("draw image tokens against DALLE-pytorch, transformers and the memory floor", 7),
    "training": ("a VQGAN training step against taming's", 9),
}
ROOT = Path(__file__).parents[2]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def main() -> int:
    asked = _arguments()
    if asked.list:
        for name, (what, rounds) in BENCHMARKS.items():
            print(f"{name:<10} {what} ({rounds} rounds)")
        return 0
    if asked.child:
        return _child(asked.names[0], asked.rounds, asked.json)
    results: list[dict[str, Any]] = []
    failed = False
    for name in asked.names or BENCHMARKS:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "results.json")
            command = [
                sys.executable,
                "-m",
                "tests.benchmarks",
                name,
                "--child",
                "--json",
                str(out),
            ]
            command += ["--rounds", str(asked.rounds or BENCHMARKS[name][1])]
            places = [str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
            environment = {
                **os.environ,
                **dict.fromkeys(THREADS, "1"),
                "PYTHONPATH": os.pathsep.join(filter(None, places)),
            }
            status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
            failed |= status != 0
            if out.exists():
                results += json.loads(out.read_text())
    if asked.json:
        Path(asked.json).write_text(json.dumps(results, indent=1) + "\n")
    verdicts = [each["verdict"] for each in results]
    print(
        ", ".join(
            f"{verdicts.count(v)} {v}" for v in ("pass", "MISS", "inconclusive") if v in verdicts
        )
    )
    if failed or "MISS" in verdicts:
        return 1
    return 2 if "inconclusive" in verdicts else 0


def _child(name: str, rounds: int, out: str) -> int:
    """One benchmark here; its floors before and after. Prints as it goes."""
    import torch

    torch.set_num_threads(1)
    from tests.benchmarks.floors import Floors
    from tests.benchmarks.harness import Result

    print(f"\n{name}: {BENCHMARKS[name][0]}; {rounds} rounds", flush=True)
    before = Floors.now()
    results: list[Result] = []
    for each in import_module(f"tests.benchmarks.{name}").run(rounds):
        print(f"  {each.line() if isinstance(each, Result) else each}", flush=True)
        if isinstance(each, Result):
            results.append(each)
    after = Floors.now()
    print(f"  {before.moved(after)}", flush=True)
    floors = {"before": vars(before), "after": vars(after)}
    Path(out).write_text(
        json.dumps([{**each.json(), "benchmark": name, "floors": floors} for each in results])
    )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="zoo bench", description="Measure genzoo side by side with its peers."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all without one"
    )
    parser.add_argument("--list", action="store_true", help="what there is, and stop")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each (at least 3)")
    parser.add_argument("--json", metavar="FILE", help="write every number there")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    if asked.rounds and asked.rounds < 3:
        parser.error("--rounds: at least 3, or a median means nothing")
    return asked


if __name__ == "__main__":
    sys.exit(main())
