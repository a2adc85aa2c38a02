"""Probabilities as integers: the same ones on every machine, or told.

A distribution p_0 ... p_{K-1} is coded by its boundaries c_k = p_0 + ... + p_{k-1}, c_0 = 0, c_K = 1,
put on a grid of 2^R steps and then on the coder's 2^24, every symbol keeping at least one of these:

    q_k = floor(2^R c_k + 1/2),     C_k = 1 + k + floor(q_k M / 2^R),     M = 2^24 - K - 2

so that symbol k owns the integers C_k ... C_{k+1} - 1; the first and the last of the 2^24 belong to
no symbol, and a decoder that meets them knows that something is wrong. From q to C is integer
arithmetic. Only the rounding to q depends on floating point, and only where 2^R c_k lies within a
margin of a half: there another machine's last bits could round the other way. The encoder knows
which two boundaries of each table it used, C_s and C_{s+1}; where one of these is in doubt it
writes down the place, k, and whether q_k is odd, which tells the two neighbours apart. All other
boundaries may be wrong on the decoder's side: as long as they stay in order, C_s <= u < C_{s+1}
finds the same s.

Errors of c_k are taken to be at most EPS min(c_k, 1 - c_k) + FLOOR: EPS is a relative error of the
probabilities, far above what float64 leaves of a deep net (about 1e-14) and far below a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.errors import PluginError, RequestError

Array = np.ndarray[Any, np.dtype[Any]]
PRECISION = 24  # the coder's probabilities are multiples of 2^-24
TOTAL = 1 << PRECISION
EPS = 1e-10  # relative error of a probability that is still decoded right
FLOOR = 1e-13  # absolute error of a sum of K probabilities in float64
WIDEST = 1 << 16  # symbols
SLACK = 1e-6  # how far from 1 the sum of a table may be


@dataclass(frozen=True)
class Doubt:
    """A boundary that might be rounded the other way elsewhere: q_`edge` is odd or even."""

    place: int
    edge: int
    odd: bool


@dataclass(frozen=True)
class Grid:
    """Where the boundaries of tables of `alphabet` symbols are put: steps of 2^-`bits`."""

    alphabet: int
    bits: int

    @classmethod
    def of(cls, alphabet: int) -> Grid:
        """Grid fine enough for an alphabet: 2^12 steps a symbol, from 2^16 to 2^22 in all."""
        if not 2 <= alphabet <= WIDEST:
            raise RequestError(
                f"The codec takes alphabets of 2 to {WIDEST:,} symbols, not {alphabet:,}."
            )
        return cls(alphabet, min(22, max(16, (alphabet - 1).bit_length() + 12)))

    @property
    def steps(self) -> int:
        """Steps in [0, 1]."""
        return 1 << self.bits

    def rounded(self, sums: Array, margin: Array) -> tuple[Array, Array]:
        """Put c (any shape, in [0, 1]) on the grid.

        Returns q, int64, and where it is in doubt: within `margin` (in units of c) of a half step.
        """
        scaled = sums * self.steps
        below = np.floor(scaled)
        doubt = np.abs(scaled - below - 0.5) <= margin * self.steps
        return np.floor(scaled + 0.5).astype(np.int64), doubt

    def settled(self, value: float, odd: bool) -> int:
        """Give the q next to c = `value` that is odd (or even)."""
        below = int(np.floor(value * self.steps))
        return below if bool(below % 2) == odd else below + 1

    def counts(self, q: Array, edge: Array) -> Array:
        """C of q_`edge`, int64."""
        room = TOTAL - self.alphabet - 2
        made: Array = 1 + edge + ((q * room) >> self.bits)
        return made

    def table(self, sums: Array, told: Mapping[int, Sequence[Doubt]]) -> Array:
        """All boundaries C (N, K + 1) of c (N, K + 1); `told` are the doubts of some rows."""
        scaled = sums * self.steps
        scaled += 0.5
        q = scaled.astype(np.int64)  # towards 0, which is downwards here
        for row, doubts in told.items():
            for each in doubts:
                right = self.settled(float(sums[row, each.edge]), each.odd)
                q[row, : each.edge] = np.minimum(q[row, : each.edge], right)
                q[row, each.edge :] = np.maximum(q[row, each.edge :], right)
                q[row, each.edge] = right
        q *= TOTAL - self.alphabet - 2
        q >>= self.bits
        q += np.arange(1, self.alphabet + 2)
        return q

    def pairs(
        self, sums: tuple[Array, Array], margin: tuple[Array, Array], symbols: Array, places: Array
    ) -> tuple[Array, Array, list[Doubt]]:
        """C_s and C_{s+1} of symbols (N,) from c_s and c_{s+1}, and the doubts, in order of place."""
        ends, doubts = [], []
        for side, (value, near) in enumerate(zip(sums, margin, strict=True)):
            edge = symbols + side
            q, doubt = self.rounded(value, near)
            ends.append(self.counts(q, edge))
            doubt &= (edge > 0) & (edge < self.alphabet)
            doubts += [
                Doubt(int(places[i]), int(edge[i]), bool(q[i] % 2)) for i in np.flatnonzero(doubt)
            ]
        return ends[0], ends[1], sorted(doubts, key=lambda each: (each.place, each.edge))


def margin_of(sums: Array) -> Array:
    """What c may be off by, for tables of probabilities."""
    made: Array = EPS * np.minimum(sums, 1 - sums) + FLOOR
    return made


def sums_of(tables: Array, who: str) -> Array:
    """Cumulative sums (..., K + 1) from 0 to exactly 1 of probabilities (..., K).

    Raises PluginError beginning with `who` for what is no distribution.
    """
    sums = np.zeros((*tables.shape[:-1], tables.shape[-1] + 1))
    np.cumsum(tables, -1, out=sums[..., 1:])
    total = sums[..., -1]
    if not bool((np.abs(total - 1) < SLACK).all()) or float(tables.min(initial=0)) < 0:
        raise PluginError(
            f"{who}: a table of probabilities is not one: its sum is "
            f"{float(total.flat[np.argmax(np.abs(total - 1))]):.9g}, its least entry "
            f"{float(tables.min()):.3g}. Rows of `tables` and `probabilities` must be "
            "non-negative and sum to 1."
        )
    sums[..., -1] = 1.0
    return np.minimum(sums, 1.0, out=sums)


def table_pairs(
    grid: Grid, tables: Array, symbols: Array, places: Array, who: str
) -> tuple[Array, Array, list[Doubt]]:
    """`Grid.pairs` of tables (N, K) at symbols (N,)."""
    sums = sums_of(tables, who)
    rows = np.arange(len(symbols))
    low, high = sums[rows, symbols], sums[rows, symbols + 1]
    return grid.pairs((low, high), (margin_of(low), margin_of(high)), symbols, places)
