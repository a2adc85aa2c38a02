from dataclasses import dataclass

import numpy as np
import pytest
import torch

from zoo.errors import RequestError
from zoo.options import implied, labels, one_each, read, settings


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


def test_a_label_is_for_all_pictures_or_there_is_one_a_picture():
    assert labels(2, 3, 4) == (2, 2, 2, 2)
    assert labels([0, 2], 3, 2) == labels(torch.tensor([0, 2]), 3, 2) == (0, 2)
    assert labels(torch.tensor(1), 3, 2) == (1, 1)
    assert one_each(("a", "b"), 2, "text") == ("a", "b")


@pytest.mark.parametrize(
    ("given", "classes", "words"),
    [
        (1, 0, "made without labels"),
        ([0, 1], 3, r"label has 2 entries for 3 pictures"),
        ([0, 1, 2, 0], 3, r"label has 4 entries for 3 pictures"),
        ([], 3, r"0 entries"),
        (3, 3, r"0 \.\. 2.*got 3"),
        (-1, 3, r"got -1"),
        (True, 3, r"got True"),
        ("1", 3, r"got '1'"),
        (torch.tensor([0.5, 1, 1]), 3, r"got 0\.5"),
    ],
)
def test_a_label_that_cannot_be_is_refused(given, classes, words):
    with pytest.raises(RequestError, match=words):
        labels(given, classes, 3)


def test_a_request_says_how_many_pictures_it_is_for():
    pictures = torch.zeros(5, 1, 4, 4)
    assert implied({"label": 3, "text": "a cat"}) == 1
    assert implied({"label": [3, 4]}) == implied({"label": torch.tensor([3, 4])}) == 2
    assert implied({"prefix": pictures, "rows": 2}) == 5
    assert implied({"prefix": pictures[0], "rows": 2}) == 1
    assert implied({"tokens": torch.zeros(3, 4, 4, dtype=torch.int64)}) == 3
    assert implied({"tokens": np.zeros((3, 4, 4), np.int32)}) == 3
    assert implied({"tokens": torch.zeros(4, 4, dtype=torch.int64)}) == 1
    assert implied({"picture": np.zeros((8, 8, 3), np.uint8)}) == 1
    assert implied({"features": torch.zeros(5, 120, 2048)}) == 5
