"""A stack of bits: symbols pushed with a probability are popped again, last in, first out.

Asymmetric numeral systems (Duda, 2013, arXiv:1311.2540), by constriction (Bamler, 2022,
arXiv:2201.01741): a state of 64 bits, words of 32. A symbol that owns the integers a ... b - 1 of
2^24 costs 24 - log2(b - a) bits, and popping it gives exactly these back, which bits-back coding
needs.

constriction takes weights w_0 ... w_{K-1} and gives symbol k the integers from k + floor(w_0 + ... +
w_{k-1}) on, if the weights sum to 2^24 - K. Handed lengths less one, it therefore uses our integers
as they are; the first and last entries of each table here stand for the two integers that no symbol
owns. `tests/codec/test_stack.py` holds this to a coder of ten lines.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from zoo.codec.intervals import TOTAL, Array
from zoo.errors import CodecError, Unsupported

ROWS = 1 << 22  # numbers in a table handed over at once: 32 MiB


@cache
def _constriction() -> Any:
    try:
        import constriction
    except ImportError as error:
        raise Unsupported(
            "Lossless coding needs constriction, which is not installed: "
            "`pip install 'genzoo[codec]'`."
        ) from error
    return constriction.stream


class Stack:
    """Bits, empty or from the words (N,) uint32 of an earlier one."""

    def __init__(self, words: Array | None = None) -> None:
        stream = _constriction()
        self._coder = (
            stream.stack.AnsCoder()
            if words is None or not len(words)
            else stream.stack.AnsCoder(np.ascontiguousarray(words, np.uint32))
        )
        self._each = stream.model.Categorical(perfect=False)

    def push(self, low: Array, high: Array) -> None:
        """Push symbols that own low ... high - 1, (N,) int64 each; `pop` gives them in this order."""
        for end in range(len(low), 0, -ROWS // 3):
            start = max(0, end - ROWS // 3)
            rows = np.empty((end - start, 3))
            rows[:, 0] = low[start:end] - 1
            rows[:, 1] = high[start:end] - low[start:end] - 1
            rows[:, 2] = TOTAL - 1 - high[start:end]
            self._coder.encode_reverse(np.ones(end - start, np.int32), self._each, rows)

    def pop(self, tables: Array) -> Array:
        """Pop a symbol a row of boundaries (N, K + 1): (N,) int64. Raises CodecError."""
        height = max(1, ROWS // (tables.shape[1] + 1))
        found = [
            self._pop(tables[start : start + height]) for start in range(0, len(tables), height)
        ]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def push_all(self, symbols: Array, table: Array) -> None:
        """Push symbols (N,) of one table of boundaries (K + 1,)."""
        self._coder.encode_reverse((symbols + 1).astype(np.int32), _fixed(table))

    def pop_all(self, count: int, table: Array) -> Array:
        """Pop `count` symbols of one table of boundaries (K + 1,). Raises CodecError."""
        found = self._coder.decode(_fixed(table), count)
        return _owned(found, len(table) - 1)

    def words(self) -> Array:
        """(N,) uint32; the last is the top and not 0."""
        return np.asarray(self._coder.get_compressed(), np.uint32)

    def __len__(self) -> int:
        """Words."""
        return int(self._coder.num_words())

    def finish(self, initial: Array | None = None) -> None:
        """Raise CodecError unless all that was pushed onto `initial` words has been popped."""
        left = self.words()
        if not np.array_equal(left, np.zeros(0, np.uint32) if initial is None else initial):
            raise CodecError(
                "Bits are left over after the last symbol: the net here does not give the "
                "probabilities that the stream was coded with."
            )

    def _pop(self, tables: Array) -> Array:
        rows = np.zeros((len(tables), tables.shape[1] + 1))
        np.subtract(np.diff(tables, axis=1), 1, out=rows[:, 1:-1])
        found = self._coder.decode(self._each, rows)
        return _owned(found, tables.shape[1] - 1)


def _owned(found: Array, alphabet: int) -> Array:
    if len(found) and not 1 <= int(found.min()) <= int(found.max()) <= alphabet:
        raise CodecError(
            "The stream leads to an integer that no symbol owns: the net here does not give the "
            "probabilities that it was coded with, or the stream was made by something else."
        )
    return np.subtract(found, 1, dtype=np.int64)


def _fixed(table: Array) -> Any:
    weights = np.zeros(len(table) + 1)
    weights[1:-1] = np.diff(table) - 1
    return _constriction().model.Categorical(weights, perfect=False, lazy=False)
