"""A classifier of noisy pictures: log p(label | x_t), whose gradient guides a diffusion model that knows no labels.

The way down of a denoising U-Net, time told to every block, then one of four heads (Dhariwal and Nichol,
arXiv:2105.05233, section 4 and table 4): "attention", where a token that begins as the mean of all positions looks at
them once (as CLIP's, Radford et al., arXiv:2103.00020); "adaptive", the mean of all positions; "spatial" and
"spatial_v2", two layers on the means of every map on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from zoo.nn.norm import GroupNorm, normalise_silu
from zoo.nn.time import TimeEmbedding
from zoo.nn.unet import Attending, Descent, Residual

if TYPE_CHECKING:
    from zoo.nn.diffusion import Process

POOLS = ("attention", "adaptive", "spatial", "spatial_v2")
_HIDDEN = 2048  # of the two layers of the heads "spatial"


class AttentionPool(nn.Module):
    """One look at all positions: (B, C, h, w) -> (B, classes); h w is fixed, being the positions' number.

    q, k and v of the mean and the positions, each plus a vector of its own, come of one projection ("parts"); the
    mean's q alone is used.
    """

    def __init__(self, positions: int, channels: int, heads: int, classes: int) -> None:
        super().__init__()
        self.heads = heads
        self.positions = nn.Parameter(torch.empty(channels, positions + 1))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, classes)
        nn.init.normal_(self.positions, std=channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2)  # (B, C, N)
        if x.shape[2] + 1 != self.positions.shape[1]:
            raise ValueError(
                f"the classifier looks at maps of {self.positions.shape[1] - 1} positions, got {x.shape[2]}: pictures "
                "must have the size it was made for"
            )
        x = torch.cat([x.mean(2, keepdim=True), x], dim=2) + self.positions
        x = x.transpose(1, 2)  # (B, 1 + N, C)
        weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
        q, k, v = (
            F.linear(given, weight, bias).view(*given.shape[:2], self.heads, -1).transpose(1, 2)
            for given, weight, bias in zip((x[:, :1], x, x), weights, biases, strict=True)
        )
        looked = F.scaled_dot_product_attention(q, k, v).flatten(1)  # (B, C)
        out: Tensor = self.out(looked)
        return out


class NoisyClassifier(nn.Module):
    """x_t (B, channels, H, W), t (B,) -> logits (B, classes).

    widths, blocks, stem, time, attention, residual, down, patch are a `zoo.nn.unet.UNet`'s; `pool` is one of POOLS.
    "attention" needs `size`, one side of the pictures, and its heads are `attention`'s. `process` is the one whose
    pictures it was made for. Raises ValueError for another pool.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        widths: Sequence[int],
        blocks: int = 2,
        *,
        pool: str = "attention",
        size: int | None = None,
        stem: int | None = None,
        time: Mapping[str, Any] | None = None,
        attention: Mapping[str, Any] | None = None,
        residual: Mapping[str, Any] | None = None,
        down: str | Sequence[str] = "conv",
        patch: int = 1,
        process: Process | None = None,
    ) -> None:
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"unknown pool {pool!r}; there are {POOLS}")
        said = {"width": widths[0], **(time or {})}
        embed = said.setdefault("embed", 4 * said["width"])
        attending, options = Attending(**(attention or {})), Residual(**(residual or {}))
        self.channels, self.classes, self.pool = channels, classes, pool
        self.process = process
        self.time = TimeEmbedding(**said)
        first = widths[0] if stem is None else stem
        self.descent = Descent(
            channels,
            widths,
            blocks,
            embed,
            options,
            attending,
            stem=first,
            down=down,
            patch=patch,
        )
        width = widths[-1]
        if pool.startswith("spatial"):
            self.hidden = nn.Linear(sum(self.descent.skips) + width, _HIDDEN)
            self.norm = GroupNorm(32, _HIDDEN) if pool == "spatial_v2" else None
            self.out = nn.Linear(_HIDDEN, classes)
            return
        self.last = GroupNorm(options.groups, width, eps=options.eps)
        if pool == "adaptive":
            self.out = nn.Linear(width, classes)
            return
        if size is None:
            raise ValueError("the pool 'attention' needs `size`, one side of the pictures")
        side = size // self.descent.factor
        self.look = AttentionPool(side * side, width, attending.shape(width)[0], classes)

    def guesses(self, images: Tensor, generator: Generator) -> dict[str, Tensor]:
        """The most probable labels (B,) by level of noise; see `zoo_diffusion.recognising.guesses`."""
        from zoo_diffusion import recognising

        return recognising.guesses(self, images, generator)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        h, maps = self.descent(x, F.silu(self.time(t)))
        if self.pool.startswith("spatial"):
            h = self.hidden(torch.cat([each.mean((2, 3)) for each in (*maps, h)], dim=1))
            h = F.relu(h) if self.norm is None else F.silu(self.norm(h))
            out: Tensor = self.out(h)
            return out
        h = normalise_silu(self.last, h, None, own=True)
        out = self.look(h) if self.pool == "attention" else self.out(h.mean((2, 3)))
        return out
