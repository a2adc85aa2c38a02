"""The way down and the way up of a U-Net: levels of blocks, each at half the resolution of the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.unet.blocks import Block, attention, resampling
from zoo.nn.unet.options import Attending, Residual

Context = tuple[Tensor | None, Tensor | None]  # (B, L, D), and which of it may be seen, (B, L) bool
NOTHING: Context = (None, None)


class Level(nn.Module):
    """Blocks at one resolution, attention after each or none, then `resample` if there is another level."""

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        attentions: Sequence[nn.Module],
        resample: nn.Module | None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attentions = nn.ModuleList(attentions)
        self.resample = resample

    def block(self, number: int, h: Tensor, e: Tensor, context: Context = NOTHING) -> Tensor:
        """Block `number` and its attention: (B, C, H, W) -> (B, C', H, W)."""
        h = self.blocks[number](h, e)
        return self.attentions[number](h, *context) if len(self.attentions) else h

    def resampled(self, h: Tensor, e: Tensor) -> Tensor:
        """To the next level's resolution."""
        layer = cast(nn.Module, self.resample)
        out: Tensor = layer(h, e) if isinstance(layer, Block) else layer(h)
        return out


class Middle(nn.Module):
    """Block, attention if any, block, at the lowest resolution: (B, C, H, W) to the same."""

    def __init__(
        self, channels: int, embed: int, residual: Residual, attending: Attending, scale: float
    ) -> None:
        super().__init__()
        self.first = Block(channels, channels, embed, residual, scale=scale)
        self.attention = (
            attention(channels, attending, residual, "middle", scale=scale)
            if attending.middle
            else None
        )
        self.second = Block(channels, channels, embed, residual, scale=scale)

    def forward(self, h: Tensor, e: Tensor, context: Context = NOTHING) -> Tensor:
        h = self.first(h, e)
        if self.attention is not None:
            h = self.attention(h, *context)
        out: Tensor = self.second(h, e)
        return out


class Descent(nn.Module):
    """The way down and the middle: pictures (B, channels, H, W) to the lowest map, and all maps on the way.

    widths  of the levels; `stem` of the first convolution, `blocks` a level
    down    how a level hands on to the next: one of DOWN, or one for each step
    patch   patches of so many pixels a side are the first level's positions, their pixels its channels

    H and W are multiples of `factor`, which is patch 2^(levels - 1).
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        blocks: int,
        embed: int,
        residual: Residual,
        attending: Attending,
        *,
        stem: int,
        down: str | Sequence[str] = "conv",
        middle: bool = True,
        middle_scale: float = 1.0,
        patch: int = 1,
    ) -> None:
        super().__init__()
        steps = kinds(down, len(widths) - 1, "down")
        self.patch, self.factor = patch, patch * 2 ** (len(widths) - 1)
        self.stem = nn.Conv2d(channels * patch**2, stem, 3, padding=1)
        self.skips = [stem]  # channels of the maps handed over to the way up
        levels, width = [], stem
        for level, wanted in enumerate(widths):
            made, seen = [], []
            for _ in range(blocks):
                made.append(Block(width, wanted, embed, residual))
                width = wanted
                if level in attending.levels:
                    seen.append(attention(width, attending, residual, "down", level))
                self.skips.append(width)
            step = None
            if level < len(steps):
                step = resampling(steps[level], width, embed, residual, up=False)
                self.skips.append(width)
            levels.append(Level(made, seen, step))
        self.levels = nn.ModuleList(levels)
        self.middle = Middle(width, embed, residual, attending, middle_scale) if middle else None

    def forward(
        self, x: Tensor, e: Tensor, context: Context = NOTHING, hint: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """`hint` (B, stem, h, w) is added to the first map. Raises ValueError for sides that do not fit."""
        if x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise ValueError(
                f"pictures of {x.shape[2]} x {x.shape[3]} pixels do not fit {len(self.levels)} levels of patches of "
                f"{self.patch}: both sides must be multiples of {self.factor}"
            )
        h = self.stem(F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x)
        h = h if hint is None else h + hint
        maps = [h]
        for each in self.levels:
            level = cast(Level, each)
            for number in range(len(level.blocks)):
                h = level.block(number, h, e, context)
                maps.append(h)
            if level.resample is not None:
                h = level.resampled(h, e)
                maps.append(h)
        if self.middle is not None:
            h = self.middle(h, e, context)
        return h, maps


class Ascent(nn.Module):
    """The way up: the lowest map and, last first, those of the way down; level 0 is the finest.

    Each level has one block more than on the way down, and takes that many maps. `skips` are their channels.
    """

    def __init__(
        self,
        widths: Sequence[int],
        blocks: int,
        embed: int,
        residual: Residual,
        attending: Attending,
        skips: Sequence[int],
        up: str | Sequence[str] = "conv",
    ) -> None:
        super().__init__()
        steps, left, width = kinds(up, len(widths) - 1, "up"), list(skips), widths[-1]
        where = attending.levels if attending.up_levels is None else attending.up_levels
        levels: list[Level] = []
        for level in reversed(range(len(widths))):
            made, seen = [], []
            for _ in range(blocks + 1):
                made.append(Block(width + left.pop(), widths[level], embed, residual))
                width = widths[level]
                if level in where:
                    seen.append(attention(width, attending, residual, "up", level))
            step = resampling(steps[level - 1], width, embed, residual, up=True) if level else None
            levels.insert(0, Level(made, seen, step))
        self.levels = nn.ModuleList(levels)

    def forward(
        self, h: Tensor, maps: list[Tensor], e: Tensor, context: Context = NOTHING
    ) -> Tensor:
        for each in reversed(self.levels):
            level = cast(Level, each)
            for number in range(len(level.blocks)):
                h = level.block(number, torch.cat([h, maps.pop()], dim=1), e, context)
            if level.resample is not None:
                h = level.resampled(h, e)
        return h


def kinds(said: str | Sequence[str], steps: int, name: str) -> list[str]:
    """One kind of resampling for each step between levels, finest first."""
    found = [said] * steps if isinstance(said, str) else list(said)
    if len(found) != steps:
        raise ValueError(f"`{name}` names {len(found)} steps between levels; there are {steps}")
    return found
