"""The coder used is the coder described: rANS over our own integers, held to ten lines of Python."""

import numpy as np
import pytest

from zoo.codec.intervals import TOTAL
from zoo.codec.stack import Stack
from zoo.errors import CodecError


def tables(rows, alphabet, seed=0):
    """Boundaries (N, K + 1) of random tables, every symbol owning at least one integer."""
    drawn = np.random.default_rng(seed)
    sums = np.cumsum(drawn.dirichlet(np.full(alphabet, 0.1), rows), 1)
    room = TOTAL - alphabet - 2
    inner = np.floor(np.concatenate([np.zeros((rows, 1)), sums], 1).clip(0, 1) * room)
    inner[:, -1] = room
    return (1 + np.arange(alphabet + 1) + inner).astype(np.int64)


def by_hand(low, high, state=0):
    """Words of asymmetric numeral systems: 64 bits of state, 32 of a word, 24 of a probability."""
    words = []
    for start, end in zip(low[::-1].tolist(), high[::-1].tolist(), strict=True):
        size = end - start
        if state >> 40 >= size:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // size << 24) + state % size + start
    while state:
        words.append(state & 0xFFFFFFFF)
        state >>= 32
    return words


@pytest.mark.parametrize("alphabet", [2, 3, 256, 1000])
def test_it_is_asymmetric_numeral_systems_over_the_integers_given(alphabet):
    bounds = tables(500, alphabet)
    symbols = np.random.default_rng(1).integers(0, alphabet, 500)
    rows = np.arange(500)
    low, high = bounds[rows, symbols], bounds[rows, symbols + 1]
    stack = Stack()
    stack.push(low, high)
    assert stack.words().tolist() == by_hand(low, high)
    assert (stack.pop(bounds) == symbols).all()
    stack.finish()


def test_one_table_for_all_costs_and_gives_what_one_a_row_does():
    bounds = tables(1, 50)[0]
    symbols = np.random.default_rng(1).integers(0, 50, 2000)
    one, each = Stack(), Stack()
    one.push_all(symbols, bounds)
    each.push(bounds[symbols], bounds[symbols + 1])
    assert (one.words() == each.words()).all()
    assert (one.pop_all(2000, bounds) == symbols).all()


def test_popping_undoes_pushing_and_the_other_way_round():
    first = np.arange(1, 60, dtype=np.uint32) * 70_000_001
    stack = Stack(first)
    bounds = tables(60, 30, seed=3)
    drawn = stack.pop(bounds)  # bits become symbols ...
    rows = np.arange(60)
    stack.push(bounds[rows, drawn], bounds[rows, drawn + 1])  # ... and bits again
    stack.finish(first)


def test_many_rows_are_handed_over_in_pieces_alike(monkeypatch):
    bounds = tables(400, 20)
    symbols = np.random.default_rng(1).integers(0, 20, 400)
    rows = np.arange(400)
    whole, pieces = Stack(), Stack()
    whole.push(bounds[rows, symbols], bounds[rows, symbols + 1])
    monkeypatch.setattr("zoo.codec.stack.ROWS", 300)
    pieces.push(bounds[rows, symbols], bounds[rows, symbols + 1])
    assert (whole.words() == pieces.words()).all()
    assert (pieces.pop(bounds) == symbols).all()


def test_an_integer_that_no_symbol_owns_is_told():
    stack = Stack(np.array([0, 1 << 20], np.uint32))  # its lowest 24 bits are 0
    with pytest.raises(CodecError, match="no symbol owns"):
        stack.pop(tables(1, 4))


def test_bits_left_over_are_told():
    stack = Stack()
    bounds = tables(3, 4)
    stack.push(bounds[:, 1], bounds[:, 2])
    with pytest.raises(CodecError, match="left over"):
        stack.finish()
