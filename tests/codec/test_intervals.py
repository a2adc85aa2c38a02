"""Probabilities as integers: every symbol has some, the loss is small, doubts are told and settled."""

import numpy as np
import pytest

from zoo.codec.intervals import EPS, TOTAL, Grid, margin_of, sums_of, table_pairs
from zoo.errors import PluginError, RequestError


@pytest.mark.parametrize("alphabet", [2, 256, 16384])
def test_every_symbol_owns_an_integer_and_the_two_outer_ones_belong_to_none(alphabet):
    probable = np.zeros((3, alphabet))
    probable[0, 0] = probable[1, -1] = 1.0
    probable[2] = 1 / alphabet
    sums = sums_of(probable, "x")
    bounds = Grid.of(alphabet).table(sums, {})
    assert (np.diff(bounds, axis=1) >= 1).all()
    assert (bounds[:, 0] == 1).all()
    assert (bounds[:, -1] == TOTAL - 1).all()


@pytest.mark.parametrize(
    ("alphabet", "sharpness"), [(2, 1.0), (256, 0.02), (256, 5.0), (4096, 0.1)]
)
def test_the_grid_costs_less_than_a_thousandth_of_the_entropy(alphabet, sharpness):
    drawn = np.random.default_rng(0)
    probable = drawn.dirichlet(np.full(alphabet, sharpness), 500)
    sums = sums_of(probable, "x")
    bounds = Grid.of(alphabet).table(sums, {})
    given = np.diff(bounds, axis=1) / TOTAL
    entropy = -(probable * np.log2(probable.clip(1e-300))).sum()
    assert -(probable * np.log2(given)).sum() < 1.001 * entropy


def test_a_boundary_on_a_half_step_is_in_doubt_and_its_parity_settles_it():
    grid = Grid.of(2)
    half = (12345 + 0.5) / grid.steps
    for error in (-1e-12, 0.0, 1e-12):
        low, high, doubts = table_pairs(
            grid, np.array([[half, 1 - half]]), np.array([1]), np.array([7]), "x"
        )
        (doubt,) = doubts
        assert (doubt.place, doubt.edge) == (7, 1)
        elsewhere = sums_of(np.array([[half + error, 1 - half - error]]), "x")
        bounds = grid.table(elsewhere, {0: doubts})
        assert (bounds[0, 1], bounds[0, 2]) == (low[0], high[0])


def test_far_from_a_half_step_nothing_is_in_doubt():
    grid = Grid.of(2)
    value = (12345 + 0.4) / grid.steps
    assert not table_pairs(grid, np.array([[value, 1 - value]]), np.array([0]), np.array([0]), "x")[
        2
    ]


def test_all_boundaries_stay_in_order_around_a_settled_one():
    """Symbols of no mass beside the boundary in doubt, which rounds the other way here."""
    grid = Grid.of(4)
    half = (12345 + 0.5) / grid.steps
    there = np.array([[half - 1e-13, 0.0, 0.0, 1 - half + 1e-13]])
    here = np.array([[half + 1e-13, 0.0, 0.0, 1 - half - 1e-13]])
    low, high, doubts = table_pairs(grid, there, np.array([3]), np.array([0]), "x")
    sums = sums_of(here, "x")
    plain = grid.table(sums, {})
    assert plain[0, 3] != low[0]
    settled = grid.table(sums, {0: doubts})
    assert (np.diff(settled) >= 1).all()
    assert (settled[0, 3], settled[0, 4]) == (low[0], high[0])


def test_relative_errors_of_probabilities_stay_within_the_margin():
    drawn = np.random.default_rng(0)
    probable = drawn.dirichlet(np.full(256, 0.05), 200)
    noisy = probable * (1 + EPS / 2 * drawn.uniform(-1, 1, probable.shape))
    noisy /= noisy.sum(1, keepdims=True)
    sums, other = sums_of(probable, "x"), sums_of(noisy, "x")
    assert (np.abs(sums - other) <= margin_of(sums)).all()


@pytest.mark.parametrize("table", [[[0.5, 0.4]], [[1.5, -0.5]], [[np.nan, 1.0]]])
def test_what_is_no_distribution_is_the_plugin_s_fault(table):
    with pytest.raises(PluginError, match=r"pixel-plugin: .*sum to 1"):
        sums_of(np.array(table), "pixel-plugin")


def test_alphabets_too_wide_or_too_narrow_are_refused():
    with pytest.raises(RequestError, match="65,536"):
        Grid.of(1 << 18)
    with pytest.raises(RequestError, match="not 1"):
        Grid.of(1)
