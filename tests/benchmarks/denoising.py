"""A denoising step against diffusers' UNet2DModel (the same weights) and denoising-diffusion-pytorch's Unet (the size).

Against diffusers: google/ddpm-cifar10-32's shape (35.7M parameters, batch 1) and a net of 0.8M (batch 1 and 16), random
weights saved as a diffusers folder and adopted; outputs must agree. denoising-diffusion-pytorch's Unet (64 channels,
multipliers 1, 2, 4, 8, 64 x 64 pixels) is another architecture, whose weights no other net takes: beside it a net of
the same widths with more parameters and more arithmetic (44M and 15.3 GFLOP, it has 36M and 14.6). Then what other ways
of running the same step cost: channels-last, bfloat16, compiled. float32, one thread, no gradients.

Last what a sampling call costs over its evaluations of the net: the same call with a net that answers at once, beside
one evaluation of the net of 0.8M, by each sampler; at most 3 %.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.benchmarks.harness import Result, agree, measure
from tests.benchmarks.peers import peer
from zoo import weights
from zoo.bare import shapes_only
from zoo.foreign import open_checkpoint
from zoo.foreign_models import renamed
from zoo.nn.diffusion import Process
from zoo.nn.diffusion.sampling import unwatched
from zoo.nn.unet import UNet
from zoo.rng import generator
from zoo_diffusion import layouts
from zoo_diffusion.net import DiffusionModel
from zoo_diffusion.networks import network
from zoo_diffusion.sampling import sample

TARGET, STRETCH = 1.0, 1.15
OVER = 0.03  # of its evaluations, the most that a sampling call may add
SAMPLERS = ("ddpm", "ddim", "dpm++2m", "unipc", "heun", "pndm")
STEPS, BEST_OF = 50, 7
TOLERANCE = 1e-4  # on outputs of scale 1: float32 through 40 layers in another order
DDPM_CIFAR10 = {
    "sample_size": 32,
    "block_out_channels": [128, 256, 256, 256],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
    "attention_head_dim": None,
}
SMALL = DDPM_CIFAR10 | {
    "block_out_channels": [24, 40, 48],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "norm_num_groups": 8,
}
OURS_64 = {  # denoising-diffusion-pytorch's widths
    "channels": 3,
    "outputs": 3,
    "widths": [64, 128, 256, 512],
    "blocks": 1,
    "attention": {"levels": [3], "heads": 4},
    "residual": {"groups": 8, "modulation": "scale-shift"},
}


def from_diffusers(options: dict[str, Any]) -> tuple[Any, nn.Module]:
    """diffusers' net with every weight drawn, and ours from the folder it saves."""
    torch.manual_seed(0)
    theirs = peer("diffusers").UNet2DModel(**options).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        foreign = open_checkpoint(Path(folder))
        adoption = layouts.adopt(foreign.keys, foreign.config)
        if adoption is None:
            raise SystemExit("no layout knows diffusers' UNet2DModel")
        with shapes_only():
            ours = network(adoption.config["net"])
        state = {k: v.clone() for k, v in renamed(foreign, adoption, folder).items()}
        weights.assign(ours, state, folder)
    return theirs, ours


def millions(net: nn.Module) -> str:
    return f"{sum(each.numel() for each in net.parameters()) / 1e6:.1f}M"


@torch.inference_mode()
def run(rounds: int) -> Iterator[Result | str]:
    for options, batch in ((DDPM_CIFAR10, 1), (SMALL, 1), (SMALL, 16)):
        yield from beside_diffusers(options, batch, rounds)
    yield from beside_lucidrains(rounds)
    for batch in (1, 16):
        yield from calls(batch)


def beside_diffusers(options: dict[str, Any], batch: int, rounds: int) -> Iterator[Result | str]:
    theirs, ours = from_diffusers(options)
    x, t = torch.randn(batch, 3, 32, 32), torch.full((batch,), 500)
    name = f"a step of {millions(ours)} parameters, batch {batch}"
    yield agree(name, ours(x, t), theirs(x, t).sample, TOLERANCE)
    sides = {"genzoo": lambda: ours(x, t), "diffusers": lambda: theirs(x, t).sample}
    yield measure(sides, rounds).judge(name, "genzoo", "diffusers", TARGET, STRETCH)
    if batch > 1:
        yield from other_ways(ours, x, t, rounds)


def beside_lucidrains(rounds: int) -> Iterator[Result | str]:
    torch.manual_seed(0)
    theirs = peer("denoising_diffusion_pytorch").Unet(64, dim_mults=(1, 2, 4, 8)).eval()
    ours = UNet(**OURS_64).eval()
    yield f"another architecture: {millions(ours)} parameters beside {millions(theirs)}"
    x, t = torch.randn(1, 3, 64, 64), torch.full((1,), 500)
    sides = {"genzoo": lambda: ours(x, t), "denoising-diffusion-pytorch": lambda: theirs(x, t)}
    found = measure(sides, rounds)
    name = "a step at 64 x 64, a net of at least the size"
    yield found.judge(name, "genzoo", "denoising-diffusion-pytorch", TARGET, STRETCH)


def other_ways(net: nn.Module, x: Tensor, t: Tensor, rounds: int) -> Iterator[Result]:
    """Whether another memory layout or type is quicker on this machine; no target."""
    last = x.contiguous(memory_format=torch.channels_last)
    turned = copy.deepcopy(net).to(memory_format=torch.channels_last)

    def half() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            out: Tensor = net(x, t)
        return out

    compiled = torch.compile(net)
    sides = {
        "as it is": lambda: net(x, t),
        "channels-last": lambda: turned(last, t),
        "bfloat16": half,
        "compiled": lambda: compiled(x, t),
    }
    found = measure(sides, rounds)
    for way in list(sides)[1:]:
        ratio = found.ratio(way, "as it is", "cpu")
        text = f"{ratio.text()} times as fast as it is, in float32 (CPU time)"
        yield Result(f"the same step in {way}", "info", text, {"median": ratio.median})


class Instant(nn.Module):
    """Answers zeros, at once."""

    classes = 0

    def __init__(self, like: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.answer = torch.zeros_like(like)

    def forward(self, x: Tensor, t: Tensor, cond: Any) -> Tensor:
        return self.answer


def calls(batch: int) -> Iterator[Result]:
    """What a call adds to its evaluations, both at their best of several, in CPU time."""
    _, net = from_diffusers(SMALL)
    x, t, process = torch.randn(batch, 3, 32, 32), torch.full((batch,), 500), Process("cosine")
    model = DiffusionModel((3, 32, 32), Instant(x), process)
    step = least(lambda: net(x, t))
    for name in SAMPLERS:
        options = {"sampler": name, "steps": STEPS}
        asked = 2 * STEPS - 1 if name == "heun" else STEPS + (name == "pndm")
        whole = least(
            lambda options=options: sample(model, batch, None, options, generator(0), unwatched)  # type: ignore[misc]
        )
        share = whole / asked / step
        text = f"{share:.2%} over {asked} evaluations (at most {OVER:.0%}); {whole / asked * 1e6:.0f} us each"
        verdict = "pass" if share <= OVER else "MISS"
        yield Result(f"a call of {name}, batch {batch}", verdict, text, {"share": share})


def least(call: Callable[[], object]) -> float:
    """CPU seconds of a call, the least of several."""
    call()
    spent = []
    for _ in range(BEST_OF):
        begun = time.process_time()
        call()
        spent.append(time.process_time() - begun)
    return min(spent)
