"""The trainer as a program, for `accelerate launch -m zoo.train RECIPE --out DIR`.

With CPUs only, several processes want `accelerate launch --multi_gpu --num_processes N` (they talk
over gloo); `--cpu` would start one. `torchrun --nproc_per_node N -m zoo.train RECIPE --out DIR` does the same.
FSDP is the recipe's `shard`; `accelerate launch --use_fsdp --fsdp_version 2` asks for "full" too.
"""

from __future__ import annotations

import argparse
import logging
import sys

from zoo.errors import ZooError
from zoo.train.loop import train


def main(arguments: list[str] | None = None) -> int:
    """Train as the command line says; 1 with a message on stderr if that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m zoo.train", description="Train by a recipe.")
    parser.add_argument("recipe", help="a recipe.toml, or the folder of one")
    parser.add_argument("--out", required=True, help="folder for checkpoints, metrics and grids")
    parser.add_argument("--resume", action="store_true", help="go on with the run in that folder")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--max-minutes", type=float, help="stop after so long, with a checkpoint")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        train(
            given.recipe,
            given.out,
            resume=given.resume,
            steps=given.steps,
            max_minutes=given.max_minutes,
        )
    except ZooError as error:
        print(f"zoo train: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
