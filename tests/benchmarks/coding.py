"""Entropy coding of 256 levels against compressai's coder: one table for all symbols, and a table for each.

Each side is handed probabilities in float64 and symbols, makes its integer tables, and gives bytes (and the other way
round). A table a symbol is what a model of pixels needs; one table is the best case of both coders. Every side must
give the symbols back, and ours must come within 0.1 % of the entropy (the cost of the very symbols, -log2 p).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.benchmarks.harness import Result, measure
from tests.benchmarks.peers import peer
from zoo.codec.intervals import Grid, sums_of, table_pairs
from zoo.codec.stack import Stack

FASTER = 3.0
OVER = 0.001
LEVELS = 256
ONE, EACH = 200_000, 8_000  # symbols
Array = Any


class Ours:
    """What `zoo.codec` does with tables."""

    grid = Grid.of(LEVELS)

    def bounds(self, tables: Array) -> Array:
        return self.grid.table(sums_of(tables, "benchmark"), {})

    def encode_each(self, symbols: Array, tables: Array) -> bytes:
        stack = Stack()
        low, high, _ = table_pairs(self.grid, tables, symbols, np.arange(len(symbols)), "benchmark")
        stack.push(low, high)
        return stack.words().tobytes()

    def decode_each(self, data: bytes, tables: Array) -> Array:
        return Stack(np.frombuffer(data, np.uint32)).pop(self.bounds(tables))

    def encode_one(self, symbols: Array, table: Array) -> bytes:
        stack = Stack()
        stack.push_all(symbols, self.bounds(table[None])[0])
        return stack.words().tobytes()

    def decode_one(self, data: bytes, count: int, table: Array) -> Array:
        return Stack(np.frombuffer(data, np.uint32)).pop_all(count, self.bounds(table[None])[0])


class Theirs:
    """compressai's rANS, by its lists; the last entry of each table is its escape, which is never used."""

    def __init__(self) -> None:
        self.ans, self.tables_of = peer("compressai.ans"), peer("compressai._CXX")

    def cdfs(self, tables: Array) -> list[list[int]]:
        rows = np.concatenate([tables, np.full((len(tables), 1), 1e-9)], 1)
        return [list(self.tables_of.pmf_to_quantized_cdf(row, 16)) for row in rows.tolist()]

    def encode_each(self, symbols: Array, tables: Array) -> bytes:
        return self._encode(symbols, list(range(len(symbols))), self.cdfs(tables))

    def decode_each(self, data: bytes, tables: Array) -> Array:
        return self._decode(data, list(range(len(tables))), self.cdfs(tables))

    def encode_one(self, symbols: Array, table: Array) -> bytes:
        return self._encode(symbols, [0] * len(symbols), self.cdfs(table[None]))

    def decode_one(self, data: bytes, count: int, table: Array) -> Array:
        return self._decode(data, [0] * count, self.cdfs(table[None]))

    def _encode(self, symbols: Array, which: list[int], cdfs: list[list[int]]) -> bytes:
        sizes, zeros = [LEVELS + 2] * len(cdfs), [0] * len(cdfs)
        coder = self.ans.RansEncoder()
        return coder.encode_with_indexes(symbols.tolist(), which, cdfs, sizes, zeros)

    def _decode(self, data: bytes, which: list[int], cdfs: list[list[int]]) -> Array:
        sizes, zeros = [LEVELS + 2] * len(cdfs), [0] * len(cdfs)
        return np.array(self.ans.RansDecoder().decode_with_indexes(data, which, cdfs, sizes, zeros))


def run(rounds: int) -> Iterator[Result | str]:
    drawn = np.random.default_rng(0)
    levels = np.arange(LEVELS)
    one = np.exp(-(((levels - 127.5) / 24) ** 2) / 2)  # 6.6 bits, as grey levels have
    one /= one.sum()
    many = drawn.choice(LEVELS, ONE, p=one)
    yield from case(
        "one table", many, -float(np.log2(one[many]).sum()), rounds,
        lambda side: side.encode_one(many, one), lambda side, data: side.decode_one(data, ONE, one),
    )  # fmt: skip
    tables = drawn.dirichlet(np.full(LEVELS, 0.2), EACH)
    each = (tables.cumsum(1) > drawn.uniform(size=(EACH, 1))).argmax(1)
    yield from case(
        "a table a symbol", each, -float(np.log2(tables[np.arange(EACH), each]).sum()), rounds,
        lambda side: side.encode_each(each, tables), lambda side, data: side.decode_each(data, tables),
    )  # fmt: skip


def case(
    name: str,
    symbols: Array,
    entropy: float,
    rounds: int,
    encode: Callable[[Any], bytes],
    decode: Callable[[Any, bytes], Array],
) -> Iterator[Result | str]:
    """One kind of tables: bits against the entropy, then seconds both ways."""
    sides: dict[str, Any] = {"ours": Ours(), "compressai": Theirs()}
    data = {key: encode(side) for key, side in sides.items()}
    for key, side in sides.items():
        if not np.array_equal(decode(side, data[key]), symbols):
            raise SystemExit(f"{name}: {key} does not give the symbols back")
    over = {key: 8 * len(data[key]) / entropy - 1 for key in sides}
    yield Result(
        f"bits, {name}",
        "pass" if over["ours"] <= OVER else "MISS",
        f"{100 * over['ours']:+.4f} % of the entropy of {entropy / len(symbols):.3f} bits a symbol (allowed "
        f"{100 * OVER:g} %), compressai {100 * over['compressai']:+.4f} %",
        {"over": over, "bits_a_symbol": entropy / len(symbols)},
    )
    found = measure({key: lambda side=side: encode(side) for key, side in sides.items()}, rounds)
    yield found.judge(f"encode, {name}", "ours", "compressai", FASTER)
    turns = {key: lambda key=key: decode(sides[key], data[key]) for key in sides}
    yield measure(turns, rounds).judge(f"decode, {name}", "ours", "compressai", FASTER)
