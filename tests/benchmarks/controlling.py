"""A conditional U-Net's step, and one with a ControlNet, against diffusers' with the same weights.

A UNet2DConditionModel and a ControlNetModel of Stable Diffusion 1.x's shape at a fifth of its widths (64, 128, 256,
256, 8 heads, a context of 77 x 128; latents of 32 x 32, hints of 256 x 256), random weights saved by diffusers and
adopted; outputs must agree. The hint's features are made once a sample, not once a step, so they are no part of our
step; they are of diffusers'. float32, one thread, no gradients.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.harness import Result, agree, measure
from tests.benchmarks.peers import peer
from zoo.foreign import open_checkpoint
from zoo.nn.control import Control, Controls
from zoo_ldm.layouts import _controlnet
from zoo_ldm.layouts.unet import read
from zoo_ldm.parity.controlnets import laid_control
from zoo_ldm.parity.nets import laid

TARGET, STRETCH = 1.0, 1.15  # of a step beside diffusers'
MOST = 1.40  # a controlled step, in steps; diffusers' takes 1.44
TOLERANCE = 1e-4
SHAPE: dict[str, Any] = {
    "block_out_channels": [64, 128, 256, 256],
    "cross_attention_dim": 128,
    "attention_head_dim": 8,
    "layers_per_block": 2,
    "in_channels": 4,
}


def folder_of(net: Any, path: Path) -> Any:
    net.save_pretrained(path)
    return open_checkpoint(path)


@torch.inference_mode()
def run(rounds: int) -> Iterator[Result | str]:
    torch.manual_seed(0)
    diffusers = peer("diffusers")
    net = diffusers.UNet2DConditionModel(sample_size=32, out_channels=4, **SHAPE).eval()
    control = diffusers.ControlNetModel(**SHAPE).eval()
    for module in (*control.controlnet_down_blocks, control.controlnet_mid_block):
        module.weight.normal_(0, 0.01)
    control.controlnet_cond_embedding.conv_out.weight.normal_(0, 0.01)
    with tempfile.TemporaryDirectory() as folder:
        files = folder_of(net, Path(folder, "net")), folder_of(control, Path(folder, "control"))
        found = read(files[0].keys, files[0].config)
        of_control = _controlnet.read(files[1].keys, files[1].config)
        if found is None or of_control is None:
            raise SystemExit("no layout knows diffusers' nets")
        ours, our_control = laid(files[0], found), laid_control(files[1], of_control)
        yield from beside(net, control, ours, our_control, rounds)


def beside(
    net: Any, control: Any, ours: Any, our_control: Any, rounds: int
) -> Iterator[Result | str]:
    x, t, text = torch.randn(1, 4, 32, 32), torch.tensor([500]), torch.randn(1, 77, 128)
    hint = torch.rand(1, 3, 256, 256)
    controls = Controls((Control(our_control, our_control.hint(hint)),))
    told = {"text": text, "control": controls}

    def theirs_controlled() -> Tensor:
        down, middle = control(x, t, text, hint, return_dict=False)
        out: Tensor = net(
            x, t, text, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
        return out

    sides = {
        "genzoo": lambda: ours(x, t, {"text": text}),
        "diffusers": lambda: net(x, t, text).sample,
        "genzoo controlled": lambda: ours(x, t, told),
        "diffusers controlled": theirs_controlled,
    }
    yield agree("a step", sides["genzoo"](), sides["diffusers"](), TOLERANCE)
    yield agree("a controlled step", sides["genzoo controlled"](), theirs_controlled(), TOLERANCE)
    took = measure(sides, rounds)
    yield took.judge("a conditional U-Net step", "genzoo", "diffusers", TARGET, STRETCH)
    yield took.judge("a controlled step", "genzoo controlled", "diffusers controlled", TARGET)
    own, theirs = (
        took.ratio(side, f"{side} controlled", "cpu") for side in ("genzoo", "diffusers")
    )
    verdict = "pass" if own.median <= MOST else "MISS"
    yield Result(
        "a controlled step in plain ones",
        verdict,
        f"{own.text()} steps (at most {MOST:.2f}); diffusers {theirs.text()} (CPU time)",
        {"median": own.median, "diffusers": theirs.median},
    )
