"""Bits-back coding with a net that has a latent variable (Townsend et al., 2019, arXiv:1901.04866).

With z put into bins, picture x costs on average its negative ELBO: the encoder

    pops  z from q(z | x),    pushes  x with p(x | z),    pushes  z with p(z)

and the decoder does the opposite in the opposite order, so that the bits of the choice of z come
back. Bins are 2^P of equal mass under the prior N(0, 1) of every dimension; z is the middle (in
mass) of its bin, and q's mass of a bin is Phi((e_{k+1} - mean) / std) - Phi((e_k - mean) / std)
with edges e_k = Phi^-1(k / 2^P). p(z) is then the same for all bins and costs P bits a dimension.

The first picture's z is popped from initial bits that both sides know (SHAKE-128 of a fixed text);
those left untouched are not stored. A group of pictures is coded at once, but pops all its z first:
groups grow only as fast as the bits on the stack allow, so that only the first picture pays.
Errors of mean and std up to EPS std are allowed for, as `zoo.codec.intervals` says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from hashlib import shake_128
from math import pi, sqrt

import numpy as np
import torch
from torch import Tensor

from zoo.codec.coder import Coder
from zoo.codec.intervals import EPS, FLOOR, PRECISION, Array, Doubt, Grid, sums_of, table_pairs
from zoo.codec.stack import Stack
from zoo.codec.work import Coded, Known, free_of, values_of
from zoo.errors import CodecError, PluginError
from zoo.progress import progress

BITS = 12  # P: 4096 bins a dimension
BINS = 1 << BITS
GRID = Grid(BINS, 22)
EVEN = GRID.counts(np.arange(BINS + 1) << (GRID.bits - BITS), np.arange(BINS + 1))  # the prior's
ROWS = 512  # latent dimensions whose bins are laid out at once: 16 MiB


def encode(coder: Coder, images: Tensor, symbols: Array, known: Sequence[Known], lanes: int,
           batch: int) -> Coded:  # fmt: skip
    """Pictures (N, C, H, W) uint8 and their symbols (N, T) to words."""
    count, length = symbols.shape
    every = length + coder.latents  # places a picture: symbols, then latents
    first = initial(coder.latents)
    stack, doubts, sizes = Stack(first), list[Doubt](), list[int]()
    ideal, start = 0.0, 0
    bar = iter(progress(range(count), label="compress"))
    while start < count:
        size = min(_affordable(stack, coder.latents, lanes), count - start)
        sizes.append(size)
        mean, std = _posterior(coder, coder.float64(images[start : start + size]), batch)
        places = (start + np.arange(size))[:, None] * every
        bins, own, found = _popped(stack, mean, std, places + length + np.arange(coder.latents))
        doubts += found
        ideal += own + bins.size * BITS
        lows, highs = [], []
        for row, table in enumerate(_given(coder, bins, batch)):
            free = free_of(known[start + row], length)
            chosen = symbols[start + row][free]
            low, high, found = table_pairs(
                coder.grid, table[free], chosen, places[row] + np.flatnonzero(free), coder.who
            )
            lows.append(low)
            highs.append(high)
            doubts += found
            ideal -= float(np.log2(table[free, chosen].clip(1e-300)).sum())
            next(bar, None)
        stack.push(np.concatenate(lows), np.concatenate(highs))
        stack.push_all(bins.ravel(), EVEN)
        start += size
    doubts.sort(key=lambda each: (each.place, each.edge))
    words = stack.words()
    kept = _prefix(words, first)
    return Coded(words[kept:], tuple(doubts), ideal, _runs(sizes), kept)


def decode(coder: Coder, coded: Coded, known: Sequence[Known], batch: int) -> Array:
    """Words to symbols (N, T), N = len(known). Raises CodecError."""
    count, length = len(known), coder.length
    every = length + coder.latents
    told: dict[int, list[Doubt]] = defaultdict(list)
    for each in coded.doubts:
        told[each.place].append(each)
    first = initial(coder.latents)
    stack = Stack(np.concatenate([first[: coded.kept], coded.words]))
    symbols = np.stack([values_of(each, length) for each in known])
    held = sum(size * times for size, times in coded.runs)
    if held != count or not all(size and times for size, times in coded.runs):
        raise CodecError(f"The stream's groups hold {held:,} tiles, its pictures {count:,}.")
    sizes = [size for size, times in coded.runs for _ in range(times)]
    end = count
    bar = iter(progress(range(count), label="decompress"))
    for size in reversed(sizes):
        start, end = end - size, end - size
        bins = stack.pop_all(size * coder.latents, EVEN).reshape(size, -1)
        for row, table in enumerate(_given(coder, bins, batch)):
            free = np.flatnonzero(free_of(known[start + row], length))
            spots = (start + row) * every + free
            near = {n: told[int(place)] for n, place in enumerate(spots) if int(place) in told}
            sums = sums_of(table[free], coder.who)
            bounds = coder.grid.table(sums, near)
            symbols[start + row][free] = stack.pop(bounds)
            next(bar, None)
        pictures = coder.pictures(symbols[start : start + size])
        mean, std = _posterior(coder, coder.float64(pictures), batch)
        places = (start + np.arange(size))[:, None] * every + length + np.arange(coder.latents)
        stack.push(*_bounds(bins.ravel(), mean.ravel(), std.ravel(), places.ravel(), told))
    stack.finish(first)
    return symbols


def initial(latents: int) -> Array:
    """Words that both sides know: enough for one picture's latents at the most they can cost."""
    count = -(-latents * PRECISION // 32) + 4
    drawn = shake_128(b"genzoo bits-back").digest(4 * count)
    words = np.frombuffer(drawn, "<u4").astype(np.uint32)
    words[-1] |= 1  # a stack's top is never 0
    return words


def _affordable(stack: Stack, latents: int, lanes: int) -> int:
    """How many pictures' latents the stack can pay for in any case: a power of two up to lanes."""
    pictures = (len(stack) - 2) * 32 // (latents * PRECISION)
    return min(lanes, 1 << max(0, pictures.bit_length() - 1))


def _posterior(coder: Coder, images: Tensor, batch: int) -> tuple[Array, Array]:
    means, stds = [], []
    with torch.no_grad():
        for part in coder.parts(len(images), batch):
            given = images[part]
            mean, std = coder.net.posterior(given, coder.cond(len(given)))
            means.append(mean.cpu().numpy())
            stds.append(std.cpu().numpy())
    mean, std = np.concatenate(means), np.concatenate(stds)
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise PluginError(f"{coder.who}: `posterior` must give finite means and positive stds.")
    return mean, std


def _given(coder: Coder, bins: Array, batch: int) -> Iterator[Array]:
    """Tables (T, K) of one picture after another, from the bins (B, D) of their latents."""
    middles = torch.special.ndtri((torch.from_numpy(bins).double() + 0.5) / BINS)
    for part in coder.parts(len(bins), batch):
        given = middles[part].to(coder.device)
        with torch.no_grad():
            tables = coder.net.tables_given(given, coder.cond(len(given)))
        yield from tables.cpu().numpy()


def _sums(mean: Array, std: Array, edge: Array) -> tuple[Array, Array]:
    """Q's mass below an edge and what it may be off by, for broadcast shapes.

    d Phi(u) = phi(u) du, and du <= EPS (1 + |u|) for errors of mean and std up to EPS std.
    """
    at = torch.special.ndtri(torch.from_numpy(edge / BINS)).numpy()
    with np.errstate(over="ignore"):
        u = np.clip((at - mean) / std, -40, 40)
    sums = torch.special.ndtr(torch.from_numpy(np.ascontiguousarray(u))).numpy()
    margin = EPS * np.exp(-u * u / 2) / sqrt(2 * pi) * (1 + np.abs(u)) + FLOOR
    sums = np.where(edge == 0, 0.0, np.where(edge == BINS, 1.0, sums))
    return sums, margin


def _popped(
    stack: Stack, mean: Array, std: Array, places: Array
) -> tuple[Array, float, list[Doubt]]:
    """Bins (B, D) popped from q, log2 of their masses under it, and the doubts of their edges."""
    shape, edges = mean.shape, np.arange(BINS + 1)
    mean, std, places = mean.ravel(), std.ravel(), places.ravel()
    found, own, doubts = [], 0.0, list[Doubt]()
    for start in range(0, len(mean), ROWS):
        rows = slice(start, start + ROWS)
        sums, margin = _sums(mean[rows, None], std[rows, None], edges[None])
        bins = stack.pop(GRID.table(sums, {}))
        each = np.arange(len(bins))
        ends = [(sums[each, bins + side], margin[each, bins + side]) for side in (0, 1)]
        _, _, near = GRID.pairs(
            (ends[0][0], ends[1][0]), (ends[0][1], ends[1][1]), bins, places[rows]
        )
        doubts += near
        own += float(np.log2((ends[1][0] - ends[0][0]).clip(2.0**-PRECISION)).sum())
        found.append(bins)
    return np.concatenate(found).reshape(shape), own, doubts


def _bounds(
    bins: Array, mean: Array, std: Array, places: Array, told: dict[int, list[Doubt]]
) -> tuple[Array, Array]:
    """What each bin owns under q, with the roundings that the encoder told."""
    ends = []
    for side in (0, 1):
        sums, margin = _sums(mean, std, bins + side)
        q, _ = GRID.rounded(sums, margin)
        for row in np.flatnonzero(np.isin(places, list(told))) if told else ():
            for each in told[int(places[row])]:
                if each.edge == bins[row] + side:
                    q[row] = GRID.settled(float(sums[row]), each.odd)
        ends.append(GRID.counts(q, bins + side))
    return ends[0], ends[1]


def _prefix(words: Array, first: Array) -> int:
    """How many words at the bottom are still the initial ones."""
    size = min(len(words), len(first))
    other = np.flatnonzero(words[:size] != first[:size])
    return int(other[0]) if len(other) else size


def _runs(sizes: list[int]) -> tuple[tuple[int, int], ...]:
    runs: list[tuple[int, int]] = []
    for size in sizes:
        if runs and runs[-1][0] == size:
            runs[-1] = (size, runs[-1][1] + 1)
        else:
            runs.append((size, 1))
    return tuple(runs)
