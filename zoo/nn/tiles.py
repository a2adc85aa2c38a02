"""Encoding and decoding pictures that are larger than memory, tile by tile.

A picture of more than `LIMIT` pixels is cut into tiles of `TILE` pixels a side that each see `MARGIN` pixels of their
neighbours. Tokens of the margins are dropped; decoded margins are blended linearly, with weights a and 1 - a across
the seam. A convolution inside the margin's reach gives what it gives on the whole picture; group norms and attention
see one tile instead, so tokens near a seam may differ from those of a machine with room for all of it. Pictures of up
to `LIMIT` pixels are never tiled, whatever the machine, unless a decoder is told to: tokens do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

LIMIT, TILE, MARGIN = 1024 * 1024, 512, 64  # pixels; sides are multiples of every downsampling
FEW = 1024  # tokens that no net here makes into more than LIMIT pixels


def encode(tokens: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Pictures (B, C, H, W) to tokens (B, H / f, W / f) by `tokens`, which does it for pictures that fit.

    Or to any map (B, ..., H / f, W / f): an autoencoder's moments.
    """
    height, width = images.shape[-2:]
    if height * width <= LIMIT:
        return tokens(images)
    rows = []
    for top, bottom, above, below in _spans(height, TILE, MARGIN):
        row = []
        for left, right, before, after in _spans(width, TILE, MARGIN):
            seen = tokens(images[..., above:below, before:after])
            f = (below - above) // seen.shape[-2]
            row.append(
                seen[
                    ...,
                    (top - above) // f : (bottom - above) // f,
                    (left - before) // f : (right - before) // f,
                ]
            )
        rows.append(torch.cat(row, dim=-1))
    return torch.cat(rows, dim=-2)


def decode(images: Callable[[Tensor], Tensor], tokens: Tensor, tile: int = 0) -> Tensor:
    """Tokens (B, h, w), or latents (B, D, h, w), to pictures (B, C, f h, f w) by `images`.

    It does it for grids that fit. With `tile`, a multiple of 4 f, pictures are tiled that are larger than that many
    pixels a side, with a quarter of it as the margin.
    """
    size, margin, limit = (tile, tile // 4, tile * tile) if tile else (TILE, MARGIN, LIMIT)
    if not tile and tokens.shape[-2] * tokens.shape[-1] <= FEW:
        return images(tokens)
    corner = tokens[:1, ..., :4, :4]  # tells how many pixels a token stands for
    factor = images(corner).shape[-1] // corner.shape[-1]
    height, width = (side * factor for side in tokens.shape[-2:])
    if height * width <= limit:
        return images(tokens)
    total, weight = torch.zeros(()), torch.zeros(())
    for top, bottom, above, below in _spans(height, size, margin):
        for left, right, before, after in _spans(width, size, margin):
            made = images(
                tokens[..., above // factor : below // factor, before // factor : after // factor]
            )
            if not total.ndim:
                total = made.new_zeros(*made.shape[:2], height, width)
                weight = made.new_zeros(height, width)
            down = _ramp(top - above, below - bottom, below - above).to(made)
            across = _ramp(left - before, after - right, after - before).to(made)
            share = down[:, None] * across[None, :]  # (h of the tile, w of the tile)
            total[..., above:below, before:after] += made * share
            weight[above:below, before:after] += share
    return total / weight


def _spans(side: int, tile: int, margin: int) -> Iterator[tuple[int, int, int, int]]:
    """Start and end of each tile along a side, then the same with its margins."""
    for start in range(0, side, tile):
        end = min(start + tile, side)
        yield start, end, max(0, start - margin), min(side, end + margin)


def _ramp(before: int, after: int, length: int) -> Tensor:
    """Weights (length,): 0 on the outer half of a margin, where the tile's edge shows, then rising to 1."""
    place = torch.arange(length) + 0.5
    ones = torch.ones(length)
    rise = ((place - before / 2) / before).clamp(0, 1) if before else ones
    fall = ((length - place - after / 2) / after).clamp(0, 1) if after else ones
    return rise * fall
