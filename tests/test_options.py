from dataclasses import dataclass

import pytest

from zoo.errors import RequestError
from zoo.options import read, settings


def test_what_is_not_given_has_its_default():
    got = read({"steps": 10, "scale": 2}, "sampling option", steps=50, scale=1.0, prompt=None)
    assert (got.steps, got.scale, got.prompt) == (10, 2, None)
    assert read({"steps": None}, "sampling option", steps=50).steps == 50


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stpes": 3}, r"no sampling option 'stpes'\. Did you mean 'steps'\? Known: steps, scale"),
        ({"steps": "3"}, r"steps must be int \(its default is 50\), is '3'"),
        ({"steps": True}, r"steps must be int"),
        ({"steps": 2.5}, r"steps must be int"),
        ({"scale": "1"}, r"scale must be float"),
    ],
)
def test_what_nobody_knows_or_means_is_refused(given, words):
    with pytest.raises(RequestError, match=words):
        read(given, "sampling option", steps=50, scale=1.0)


def test_a_family_without_options_says_so():
    with pytest.raises(RequestError, match=r"no condition 'label'\. Known: none"):
        read({"label": 1}, "condition")


def test_a_table_fills_a_dataclass_and_names_what_it_lacks():
    @dataclass(frozen=True)
    class Weights:
        beta: float = 1.0
        warmup: int = 0

    assert settings(Weights, {"warmup": 5}, "[objective] of a VAE") == Weights(1.0, 5)
    with pytest.raises(RequestError, match=r"a VAE has no 'warm_up'.*'warmup'.*beta, warmup"):
        settings(Weights, {"warm_up": 5}, "[objective] of a VAE")
