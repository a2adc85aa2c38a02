"""Learning rates against their closed forms."""

from math import cos, pi

import pytest

from zoo.train.recipe import Schedule
from zoo.train.schedule import scale


def test_cosine():
    schedule = Schedule("cosine", final=0.1)
    for step in (0, 25, 50, 99):
        assert scale(schedule, step, 100) == pytest.approx(
            0.1 + 0.9 * (1 + cos(pi * step / 100)) / 2
        )


def test_warm_up_counts_from_the_start_of_the_objective():
    schedule = Schedule("constant", warmup=4)
    assert [scale(schedule, step, 100) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert [scale(schedule, step, 100, start=50) for step in (50, 51, 53, 60)] == [0.25, 0.5, 1, 1]


def test_linear_goes_to_its_end():
    schedule = Schedule("linear", warmup=10)
    assert scale(schedule, 10, 110) == 1
    assert scale(schedule, 60, 110) == pytest.approx(0.5)
    assert scale(schedule, 110, 110) == 0


def test_constant_decays_over_the_last_steps():
    schedule = Schedule("constant", decay=10, final=0.5)
    assert scale(schedule, 90, 100) == 1
    assert scale(schedule, 95, 100) == pytest.approx(0.75)
    assert scale(Schedule("constant"), 99, 100) == 1
