"""The first picture of a latent diffusion model from a cold process, against a diffusers pipeline of the same nets.

A conditional U-Net (widths 32, 64), an AutoencoderKL (16, 32, 32) and a DDIM scheduler: random weights, saved by
diffusers as a StableDiffusionPipeline, and as a model of the zoo. Both sides import, load, take ten guided steps and
write a PNG of 64 x 64. The pipeline has no text encoder and is given rows of text ready-made; ours reads a prompt with
an encoder of its own, which is a little more to load and to do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import zoo
from tests.benchmarks.harness import Result
from tests.benchmarks.peers import peer
from tests.benchmarks.processes import measure_processes
from zoo.card import Card
from zoo.foreign import open_checkpoint
from zoo.model import Model, build
from zoo.nn.text import trained
from zoo.plugins import family
from zoo_ldm.layouts.unet import read
from zoo_ldm.parity.nets import laid

TARGET = 2.0
UNET: dict[str, Any] = {
    "sample_size": 16, "in_channels": 4, "out_channels": 4, "layers_per_block": 1, "block_out_channels": [32, 64],
    "cross_attention_dim": 32, "attention_head_dim": 4, "norm_num_groups": 8,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
}  # fmt: skip
KL: dict[str, Any] = {
    "sample_size": 64, "latent_channels": 4, "layers_per_block": 1, "block_out_channels": [16, 32, 32],
    "norm_num_groups": 8, "down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3,
}  # fmt: skip
LENGTH, STEPS, GUIDANCE = 16, 10, 3.0
OURS = """
import zoo
model = zoo.load(FOLDER).condition(text="noto: red apple")
model.sample(1, seed=0, steps=STEPS, guidance=GUIDANCE).save(OUT)
"""
THEIRS = """
import torch
from diffusers import StableDiffusionPipeline
pipeline = StableDiffusionPipeline.from_pretrained(FOLDER, text_encoder=None, tokenizer=None)
pipeline.set_progress_bar_config(disable=True)
rows = torch.zeros(1, LENGTH, 32)
picture = pipeline(
    prompt_embeds=rows, negative_prompt_embeds=rows, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
    generator=torch.Generator().manual_seed(0),
).images[0]
picture.save(OUT)
"""


def pipeline(folder: Path) -> None:
    """diffusers' side."""
    diffusers = peer("diffusers")
    made = diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(**KL), unet=diffusers.UNet2DConditionModel(**UNET),
        scheduler=diffusers.DDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1, clip_sample=False,
        ),
        text_encoder=None, tokenizer=None, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    made.save_pretrained(folder)


def ours(theirs: Path, folder: Path) -> None:
    """The zoo's side: their U-Net and autoencoder, and a text encoder."""
    zoo.convert(theirs / "vae", "kl", folder / "kl")
    part = zoo.load(folder / "kl")
    file = open_checkpoint(theirs / "unet")
    found = read(file.keys, file.config)
    if found is None:
        raise SystemExit("no layout knows diffusers' UNet2DConditionModel")
    words = trained(["noto: red apple", "twemoji: house"], 300)
    config = {
        "image": [3, 64, 64],
        "latent": [4, 16, 16],
        "net": {"kind": "unet", **found.options},
        "process": {"schedule": "scaled-linear"},
        "text": {"length": LENGTH, "width": 32, "vocabulary": words},
        "null": True,
    }
    card = Card(
        name="ldm", family="ldm", version="1.0.0", license="unknown", config=config, image=(3, 64, 64),
        latent=(4, 16, 16), latent_kind="continuous", parts={"autoencoder": part.card.title},
        hooks=("condition", "encode", "decode", "sample"),
    )  # fmt: skip
    hooks = family("ldm")
    made: Any = build(hooks, card, {"autoencoder": part}, meta=False)
    made.network.load_state_dict(laid(file, found).state_dict())
    Model(card, made, hooks, {"autoencoder": part}).save(folder / "ldm")


def run(rounds: int) -> Iterator[Result | str]:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pipeline(folder / "pipeline")
        ours(folder / "pipeline", folder)
        sides = {}
        for name, script, model in (
            ("genzoo", OURS, "ldm"),
            ("diffusers", THEIRS, "pipeline"),
        ):
            words = {"FOLDER": folder / model, "OUT": folder / f"{name}.png"}
            said = "".join(f"{key} = {str(value)!r}\n" for key, value in words.items())
            said += f"LENGTH, STEPS, GUIDANCE = {LENGTH}, {STEPS}, {GUIDANCE}\n"
            sides[name] = ["-c", said + script]
        sides["import torch"] = ["-c", "import torch"]
        found, _ = measure_processes(sides, rounds)
        sizes = {
            name: zoo.Images.read(folder / f"{name}.png", 3).shape
            for name in ("genzoo", "diffusers")
        }
    if len(set(sizes.values())) != 1:
        raise SystemExit(f"the pictures differ in size: {sizes}")
    yield f"same nets, same steps, pictures of {tuple(sizes['genzoo'])[2:]} px"
    yield found.judge("a cold process to its first picture", "genzoo", "diffusers", TARGET)
    ratio = found.ratio("genzoo", "import torch", "cpu")
    yield Result(
        "import torch / ours", "info", f"CPU {ratio.text()}", {"cpu_pairs": list(ratio.pairs)}
    )
