"""A flow over pictures: 8-bit levels -> the real line -> standard normal numbers, and back exactly.

    log p(v + u) = log N(z; 0, I) + log |det dz/du|,     z = f(v + u)

RealNVP (Dinh et al., 2016, arXiv:1605.08803) and Glow (Kingma & Dhariwal, 2018, arXiv:1807.03039).
All couplings of a picture run after space-to-depth: a checkerboard of pixels is then one half of
the channels at a quarter of the positions, so that no position is computed to be masked away.

    v levels (B, C, H, W)   x on the line (B, C, H, W)   z latents (B, D), D = C H W
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_flow.bijections import ActNorm, Coupling, Invertible1x1, Permute
from zoo_flow.conditioners import Convolutions
from zoo_flow.dequantise import Uniform, Variational
from zoo_flow.flat import FlatStage
from zoo_flow.levels import LEVELS, Histogram, Logit
from zoo_flow.mixture import MixtureCoupling

HALVES: Mapping[str, tuple[int, int]] = {  # which of the 2 x 2 subpixels stay, in reading order
    "checkerboard": (0, 3),
    "rows": (0, 1),
    "columns": (0, 2),
}
MASKS = (*HALVES, "channel", "mixed")


class Gaussian(nn.Module):
    """z = (x - mean(h)) / deviation(h): what is left is standard normal, if the model is right.

    Mean and deviation are learned for each number, and given `inputs` also depend on h, the part
    that goes on (Glow's learned prior).
    """

    def __init__(self, shape: Sequence[int], inputs: int = 0, width: int = 0) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(1, *shape))
        self.log_scale = nn.Parameter(torch.zeros(1, *shape))
        self.net = Convolutions(inputs, 2 * shape[0], width, 0) if inputs else None

    def terms(self, h: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log-deviation, broadcast against (B, *shape)."""
        if self.net is None:
            return self.mean, self.log_scale
        mean, raw = self.net(h).chunk(2, dim=1)
        return self.mean + mean, self.log_scale + 2 * torch.tanh(raw / 2)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, *shape) -> z alike, log-determinant (B,)."""
        mean, log_scale = self.terms(h)
        return (x - mean) * (-log_scale).exp(), -log_scale.expand_as(x).flatten(1).sum(1)

    def inverse(self, z: Tensor, h: Tensor | None = None) -> Tensor:
        """Z (B, *shape) -> x alike."""
        mean, log_scale = self.terms(h)
        return torch.addcmul(mean, z, log_scale.exp())


class Stage(nn.Module):
    """Some couplings at one resolution: space-to-depth first if `squeeze`, half leaves if `split`."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        couplings: int,
        width: int,
        mask: str = "mixed",
        blocks: int = 0,
        squeeze: bool = False,
        split: bool = False,
        place: bool = False,
        scale: str = "tanh",
        mixture: int = 0,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if mask not in MASKS:
            raise ValueError(f"mask {mask!r} is none of {', '.join(MASKS)}")
        channels, height, wide = shape
        if squeeze:
            if height % 2 or wide % 2:
                raise ValueError(
                    f"{height} x {wide} cannot be squeezed: an odd number of positions"
                )
            channels, height, wide = 4 * channels, height // 2, wide // 2
        self.squeeze, self.shape = squeeze, (channels, height, wide)
        steps: list[nn.Module] = []
        order = order_of(mask, channels)
        if order != list(range(channels)):
            steps.append(Permute(order))
        first = channels // 2
        for index in range(couplings):
            flip = mask != "mixed" and index % 2 == 1
            steps.append(ActNorm(self.shape, elementwise=place))
            if mask == "mixed":
                steps.append(Invertible1x1(channels))
            stays = channels - first if flip else first
            net = Convolutions(
                stays,
                (3 * mixture + 2 if mixture else 2) * (channels - stays),
                width,
                blocks,
                (height, wide) if place else None,
                classes,
            )
            if mixture:
                steps.append(MixtureCoupling(net, first, flip, mixture))
            else:
                steps.append(Coupling(net, first, flip, scale))
        if order != list(range(channels)):
            steps.append(Permute(steps[0].back))  # type: ignore[arg-type]
        self.steps = nn.ModuleList(steps)
        self.prior = None
        if split:
            left = (channels - first, height, wide)
            self.prior = Gaussian(left, first, width)
            self.shape = (first, height, wide)

    def forward(self, x: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
        """What goes on, what leaves as z (or None), log-determinant (B,)."""
        x = F.pixel_unshuffle(x, 2) if self.squeeze else x
        total = x.new_zeros(len(x))
        for step in self.steps:
            x, logdet = step(x, cond)
            total = total + logdet
        if self.prior is None:
            return x, None, total
        x, leaves = x[:, : self.shape[0]], x[:, self.shape[0] :]
        z, logdet = self.prior(leaves, x)
        return x, z, total + logdet

    def inverse(self, x: Tensor, z: Tensor | None, cond: Tensor | None) -> Tensor:
        """The inverse of `forward`."""
        if self.prior is not None and z is not None:
            x = torch.cat([x, self.prior.inverse(z, x)], dim=1)
        for step in reversed(self.steps):
            x = step.inverse(x, cond)  # type: ignore[operator]
        return F.pixel_shuffle(x, 2) if self.squeeze else x


def order_of(mask: str, channels: int) -> list[int]:
    """The channels in an order in which the first half is what the mask keeps.

    Channel i of a squeezed picture is subpixel i mod 4 of channel i div 4.
    """
    if mask not in HALVES:
        return list(range(channels))
    if channels % 4:
        raise ValueError(f"mask {mask!r} needs a squeezed picture, not {channels} channels")
    stays = [i for i in range(channels) if i % 4 in HALVES[mask]]
    return stays + [i for i in range(channels) if i % 4 not in HALVES[mask]]


PIXELS: Mapping[str, Callable[..., nn.Module]] = {"logit": Logit, "histogram": Histogram}


class Flow(nn.Module):
    """A flow of `stages` (options of `Stage`, or with `hidden` of `FlatStage`) over pictures of the shape `image`.

    `pixels` ({"kind": "logit" or "histogram", ...}) says how levels lie on the line,
    `dequantisation` ({"kind": "uniform" or "variational", ...}) how noise is drawn.
    """

    def __init__(
        self,
        image: Sequence[int],
        stages: Sequence[Mapping[str, Any]],
        pixels: Mapping[str, Any] | None = None,
        dequantisation: Mapping[str, Any] | None = None,
        classes: int = 0,
    ) -> None:
        super().__init__()
        channels, height, wide = image
        self.image, self.classes = (channels, height, wide), classes
        self.density = ("lower bound", "8-bit pixels")  # for the card
        told = dict(pixels or {"kind": "logit"})
        self.pixels = PIXELS[told.pop("kind")](**told)
        told = dict(dequantisation or {"kind": "uniform"})
        kind = told.pop("kind")
        if kind not in ("uniform", "variational"):
            raise ValueError(f"dequantisation kind {kind!r} is neither uniform nor variational")
        self.noise: nn.Module = (
            Uniform(**told) if kind == "uniform" else Variational(channels, **told)
        )
        shape = self.image
        made: list[Stage | FlatStage] = []
        for options in stages:
            kind = FlatStage if "hidden" in options else Stage
            made.append(kind(shape, classes=classes, **options))
            shape = made[-1].shape
        self.stages = nn.ModuleList(made)
        self.prior = Gaussian(shape)
        self.dimensions = math.prod(self.image)

    def latents(self, v: Tensor, u: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor]:
        """Levels int64 and noise in [0, 1), (B, C, H, W) both -> z (B, D), log |det dz/du| (B,)."""
        x, total = self.pixels(v, u)
        pieces: list[Tensor] = []
        for stage in self.stages:
            x, z, logdet = stage(x, cond)
            total = total + logdet
            if z is not None:
                pieces.append(z.flatten(1))
        z, logdet = self.prior(x)
        return torch.cat([*pieces, z.flatten(1)], dim=1), total + logdet

    def line(self, z: Tensor, cond: Tensor | None) -> Tensor:
        """Latents (B, D) -> x (B, C, H, W), before it is mapped to levels."""
        shapes: list[tuple[int, ...] | None] = []
        for stage in self.stages:
            prior = stage.prior
            shapes.append(tuple(prior.mean.shape[1:]) if isinstance(prior, Gaussian) else None)
        last = tuple(self.prior.mean.shape[1:])
        sizes = [math.prod(shape) for shape in shapes if shape is not None]
        pieces = list(torch.split(z, [*sizes, math.prod(last)], dim=1))
        x = self.prior.inverse(pieces.pop().reshape(-1, *last))
        for stage, shape in zip(reversed(self.stages), reversed(shapes), strict=True):
            left = None if shape is None else pieces.pop().reshape(-1, *shape)
            x = stage.inverse(x, left, cond)  # type: ignore[operator]
        return x

    def bound(self, v: Tensor, noise: Tensor, cond: Tensor | None) -> Tensor:
        """Log p(v + u) - log q(u | v) in nats (B,) for one draw of noise (uniform or normal)."""
        u, log_q = self.noise(v, noise)
        z, logdet = self.latents(v, u, cond)
        normal = -z.square().sum(1) / 2 - self.dimensions * math.log(2 * math.pi) / 2
        out: Tensor = normal + logdet - log_q
        return out


def levels_of(images: Tensor) -> Tensor:
    """(B, C, H, W) in [-1, 1] -> levels 0 .. 255, int64."""
    return ((images + 1) * 127.5).round().clamp(0, LEVELS - 1).long()
