"""What the two ways of coding hand over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.codec.intervals import Array, Doubt

Known = (
    tuple[Array, Array] | None
)  # the symbols (T,) of a tile and which of them both sides know (T,); None: none


@dataclass(frozen=True, eq=False)
class Coded:
    """Words of a stack, what stands beside them, and how many bits the model's own number is.

    Attributes:
        words: (N,) uint32.
        doubts: boundaries told beside them.
        ideal: -log2 p of all symbols (bits-back: of the symbols and latents, less the latents' own).
        runs: (pictures at a time, times) in coding order, for bits-back.
        kept: initial words left untouched, for bits-back; the decoder has them, too.
    """

    words: Array
    doubts: tuple[Doubt, ...]
    ideal: float
    runs: tuple[tuple[int, int], ...] = ()
    kept: int = 0


def free_of(known: Known, length: int) -> Array:
    """Which symbols (T,) of a tile must be coded."""
    return np.ones(length, bool) if known is None else ~known[1]


def values_of(known: Known, length: int) -> Array:
    """Symbols (T,) of a tile where they are known; anything elsewhere."""
    return np.zeros(length, np.int64) if known is None else known[0]
