"""A KL autoencoder's encoding and decoding against diffusers' AutoencoderKL with the same weights.

Stable Diffusion 1.x's shape at a quarter of its widths (32, 64, 128, 128, two blocks a level, attention in the
middle), random weights saved by diffusers and adopted; pictures of 256 x 256, latents of 32 x 32. Outputs must agree.
float32, one thread, no gradients.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import torch

import zoo
from tests.benchmarks.harness import Result, agree, measure
from tests.benchmarks.peers import peer

TARGET, STRETCH = 1.0, 1.15
TOLERANCE = 1e-4
SHAPE: dict[str, Any] = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [32, 64, 128, 128],
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 256,
}


@torch.inference_mode()
def run(rounds: int) -> Iterator[Result | str]:
    torch.manual_seed(0)
    theirs = peer("diffusers").AutoencoderKL(**SHAPE).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours: Any = zoo.load(f"{folder}/").net
    images, z = torch.rand(1, 3, 256, 256) * 2 - 1, torch.randn(1, 4, 32, 32)
    sides = {
        "encode": (lambda: ours.moments(images), lambda: theirs._encode(images)),
        "decode": (lambda: ours.decode(z), lambda: theirs.decode(z).sample),
    }
    for name, (mine, other) in sides.items():
        yield agree(name, mine(), other(), TOLERANCE)
        took = measure({"genzoo": mine, "diffusers": other}, rounds)
        yield took.judge(f"{name} at 256 px", "genzoo", "diffusers", TARGET, STRETCH)
