"""Coding with a net that gives every symbol's probabilities from those before it.

The encoder needs one teacher-forced call a batch for all tables, the decoder walks. Pictures go in
groups of `lanes`, whose symbols are interleaved: symbol 0 of each, symbol 1 of each, ... so that
the decoder advances all lanes of a group by one call of the net. All groups share one stack; the
last group is pushed first, so that the first is popped first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from zoo.codec.coder import Coder
from zoo.codec.intervals import Array, Doubt, sums_of, table_pairs
from zoo.codec.stack import Stack
from zoo.codec.work import Coded, Known, free_of, values_of
from zoo.progress import progress


def encode(coder: Coder, symbols: Array, known: Sequence[Known], lanes: int, batch: int) -> Coded:
    """Symbols (N, T) to words; `known[i]` are symbols of picture i that need no bits."""
    count, length = symbols.shape
    stack = Stack()
    doubts: list[Doubt] = []
    ideal = 0.0
    starts = range(0, count, lanes)
    for start in progress(reversed(starts), len(starts), "compress"):
        group = symbols[start : start + lanes]
        free = np.stack([free_of(each, length) for each in known[start : start + lanes]])
        low, high = np.zeros(group.shape, np.int64), np.zeros(group.shape, np.int64)
        for part in coder.parts(len(group), batch):
            tables = _tables(coder, group[part])[free[part]]  # (F, K): the free ones of the part
            chosen = group[part][free[part]]
            places = (start + part.start) * length + np.flatnonzero(free[part])
            low[part][free[part]], high[part][free[part]], found = table_pairs(
                coder.grid, tables, chosen, places, coder.who
            )
            doubts += found
            probable = tables[np.arange(len(chosen)), chosen].clip(1e-300)
            ideal -= float(np.log2(probable).sum())
        order = free.T  # symbol by symbol, lane by lane
        stack.push(low.T[order], high.T[order])
    doubts.sort(key=lambda each: (each.place, each.edge))
    return Coded(stack.words(), tuple(doubts), ideal)


def decode(
    coder: Coder,
    words: Array,
    doubts: Sequence[Doubt],
    known: Sequence[Known],
    lanes: int,
    batch: int,
) -> Array:
    """Words to symbols (N, T), N = len(known). Raises CodecError."""
    count, length = len(known), coder.length
    told: dict[int, list[Doubt]] = defaultdict(list)
    for each in doubts:
        told[each.place].append(each)
    stack = Stack(words)
    symbols = np.stack([values_of(each, length) for each in known])
    steps = iter(progress(range(-(-count // lanes) * length), label="decompress"))
    with torch.no_grad():
        for start in range(0, count, lanes):
            group = symbols[start : start + lanes]
            free = np.stack([free_of(each, length) for each in known[start : start + lanes]])
            cuts = [*range(0, len(group), batch), len(group)]
            walks = [coder.net.walk(b - a, coder.cond(b - a)) for a, b in pairwise(cuts)]
            for step, _ in zip(range(length), steps, strict=False):
                if not free[:, step:].any():
                    continue
                tables = torch.cat([walk.probabilities() for walk in walks]).cpu().numpy()
                lanes_left = np.flatnonzero(free[:, step])
                places = (start + lanes_left) * length + step
                near = {row: told[int(p)] for row, p in enumerate(places) if int(p) in told}
                sums = sums_of(tables[lanes_left], coder.who)
                group[lanes_left, step] = stack.pop(coder.grid.table(sums, near))
                pushed = torch.from_numpy(group[:, step].copy()).to(coder.device)
                for walk, (a, b) in zip(walks, pairwise(cuts), strict=True):
                    walk.push(pushed[a:b])
    stack.finish()
    return symbols


def _tables(coder: Coder, symbols: Array) -> Array:
    with torch.no_grad():
        given = torch.from_numpy(np.ascontiguousarray(symbols)).to(coder.device)
        tables = coder.net.tables(given, coder.cond(len(given)))
    made: Array = tables.cpu().numpy()
    return made
