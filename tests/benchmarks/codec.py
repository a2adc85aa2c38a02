"""VQGAN f16 at 256 x 256 on the same weights: taming-transformers and diffusers against `zoo.load` of their files.

Random weights in the published shape (ch 128, multipliers 1, 1, 2, 2, 4, 16,384 codes of 256) are written as a
taming checkpoint and as a diffusers folder, adopted by `zoo.load`, and must give the same latents, tokens and pictures.
`encode` is picture to tokens and `decode` codes to picture, batch 1, float32, one thread, no gradients.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

import zoo
from tests.benchmarks.harness import Result, agree, measure
from tests.benchmarks.peers import CODES, IMAGENET_F16, peer, spread_codes, taming_model

TOLERANCE = (
    2e-4  # on latents and pictures of scale 1 to 3: float32 through 50 layers in another order
)
TAMING = {"encode": (1.25, 1.5), "decode": (1.25, 1.5)}
DIFFUSERS = 1.1
SIDE = 256


def from_taming(folder: Path) -> tuple[Any, zoo.Model]:
    """taming's model, and ours from the checkpoint it would have written."""
    torch.manual_seed(0)
    theirs = taming_model().eval()
    spread_codes(theirs)
    params = {"embed_dim": 256, "n_embed": CODES, "ddconfig": IMAGENET_F16}
    config = {"model": {"target": "taming.models.vqgan.VQModel", "params": params}}
    (folder / "model.yaml").write_text(yaml.safe_dump(config))
    torch.save({"state_dict": theirs.state_dict()}, folder / "last.ckpt")
    return theirs, zoo.load(folder / "last.ckpt")


def from_diffusers(folder: Path) -> tuple[Any, zoo.Model]:
    """diffusers' VQModel of the same shape, and ours from the folder it saves."""
    diffusers = peer("diffusers")
    torch.manual_seed(0)
    depth = len(IMAGENET_F16["ch_mult"])
    theirs = diffusers.VQModel(
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * (depth - 1) + ["AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * (depth - 1),
        block_out_channels=[IMAGENET_F16["ch"] * m for m in IMAGENET_F16["ch_mult"]],
        layers_per_block=2,
        latent_channels=256,
        sample_size=SIDE,
        num_vq_embeddings=CODES,
        vq_embed_dim=256,
        norm_num_groups=32,
    ).eval()
    spread_codes(theirs)
    theirs.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["_class_name"] == "VQModel"
    return theirs, zoo.load(folder)


@torch.inference_mode()
def run(rounds: int) -> Iterator[Result | str]:
    images = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        taming, mine = from_taming(Path(first))
        diffusers, also = from_diffusers(Path(second))
        net, other = mine.net, also.net

        latents, theirs = net.latents(images), taming.quant_conv(taming.encoder(images))
        yield agree("latents, taming", latents, theirs, TOLERANCE)
        tokens = taming.encode(images)[2][2]
        yield agree("tokens, taming", net.tokens(images), tokens, 0)
        codes = taming.quantize.get_codebook_entry(tokens.flatten(), (1, 16, 16, 256))
        yield agree("pictures, taming", net.decode(codes), taming.decode(codes), TOLERANCE)
        theirs = diffusers.encode(images).latents
        yield agree("latents, diffusers", other.latents(images), theirs, TOLERANCE)
        found = diffusers.quantize(theirs)[2][2]
        yield agree("tokens, diffusers", other.tokens(images).flatten(), found.flatten(), 0)
        ready = diffusers.quantize.get_codebook_entry(found.flatten(), (1, 16, 16, 256))
        back = diffusers.decode(ready, force_not_quantize=True).sample
        yield agree("pictures, diffusers", other.decode(ready), back, TOLERANCE)

        encode = measure(
            {
                "taming": lambda: taming.encode(images),
                "ours": lambda: net.tokens(images),
                "diffusers": lambda: diffusers.quantize(diffusers.encode(images).latents),
            },
            rounds,
        )
        yield encode.judge("VQGAN f16 encode", "ours", "taming", *TAMING["encode"])
        yield encode.judge("VQGAN f16 encode", "ours", "diffusers", DIFFUSERS)
        decode = measure(
            {
                "taming": lambda: taming.decode(codes),
                "ours": lambda: net.decode(codes),
                "diffusers": lambda: diffusers.decode(ready, force_not_quantize=True),
            },
            rounds,
        )
        yield decode.judge("VQGAN f16 decode", "ours", "taming", *TAMING["decode"])
        yield decode.judge("VQGAN f16 decode", "ours", "diffusers", DIFFUSERS)
