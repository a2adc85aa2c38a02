"""The plain order of symbols: rows from the top, pixels from the left, red, green and blue of each."""

from __future__ import annotations

from torch import Tensor


def to_symbols(levels: Tensor) -> Tensor:
    """Grey levels (B, C, H, W) to symbols (B, H W C)."""
    return levels.movedim(1, -1).flatten(1)


def to_levels(symbols: Tensor, channels: int, size: int) -> Tensor:
    """Symbols (B, H W C) to grey levels (B, C, H, W)."""
    return symbols.view(-1, size, size, channels).movedim(-1, 1)


def as_values(levels: Tensor, count: int, like: Tensor) -> Tensor:
    """Grey levels of `count` to numbers in [-1, 1], of the type of `like`."""
    return levels.to(like.dtype) * (2 / (count - 1)) - 1
