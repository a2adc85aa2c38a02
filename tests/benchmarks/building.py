"""A fresh process up to a built VQGAN: `import zoo` and the published net against diffusers' import and its VQModel.

Both sides build the same 76 M parameters (ch 128, multipliers 1, 1, 2, 2, 4). Ours as `zoo.load` does it, without
giving the parameters values they would lose at once; diffusers' as `from_pretrained` does it (its ModelMixin skips the
initialisation by default through accelerate's empty weights), and as a plain constructor call, for information.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.harness import Result
from tests.benchmarks.peers import peer
from tests.benchmarks.processes import measure_processes, run_python

TARGET = 2.5
OURS = """
from zoo.bare import shapes_only
from zoo.plugins import family
widths = [128, 128, 256, 256, 512]
sides = {"latent": 256, "channels": 3, "widths": widths, "attention": [4]}
config = {
    "encoder": {**sides, "blocks": 2},
    "decoder": {**sides, "blocks": 3},
    "quantizer": {"kind": "vector", "codes": 16384, "dim": 256, "learn": "gradient", "statistics": False},
}
with shapes_only():
    net = family("vq").call("build", config=config, parts={})
print(sum(each.numel() for each in net.parameters()))
"""
BUILD = """
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, VQModel
with torch.device(DEVICE):
    net = VQModel(
        down_block_types=["DownEncoderBlock2D"] * 4 + ["AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * 4,
        block_out_channels=[128, 128, 256, 256, 512], layers_per_block=2, latent_channels=256,
        num_vq_embeddings=16384, vq_embed_dim=256, norm_num_groups=32,
    )
print(sum(each.numel() for each in net.parameters()))
"""
SIDES = {
    "ours": ["-c", OURS],
    "diffusers": ["-c", BUILD.replace("DEVICE", "'meta'")],
    "diffusers, initialised": ["-c", BUILD.replace("DEVICE", "'cpu'")],
    "import torch": ["-c", "import torch"],
}


def run(rounds: int) -> Iterator[Result | str]:
    peer("diffusers")
    ours, theirs = (run_python(SIDES[side]).said.split()[-1] for side in ("ours", "diffusers"))
    if ours != theirs:
        raise SystemExit(f"ours has {ours} parameters, diffusers' {theirs}")
    yield f"same net: {int(ours) / 1e6:.2f}M parameters on both sides"
    found, _ = measure_processes(SIDES, rounds)
    yield found.judge("process to a built VQGAN", "ours", "diffusers", TARGET)
    for other in ("diffusers, initialised", "import torch"):
        ratio = found.ratio("ours", other, "cpu")
        yield Result(
            f"{other} / ours", "info", f"CPU {ratio.text()}", {"cpu_pairs": list(ratio.pairs)}
        )
