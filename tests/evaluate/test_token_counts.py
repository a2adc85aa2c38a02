"""Usage, perplexity and bytes of histograms that are known."""

import math

import pytest
import torch

from zoo.errors import RequestError
from zoo.evaluate import Histogram, bytes_needed
from zoo.evaluate.tokens import bits_of


def counted(codes, *batches):
    histogram = Histogram(codes)
    for each in batches:
        histogram.add(torch.tensor(each))
    return histogram


def test_all_codes_equally_often():
    histogram = counted(8, [[0, 1, 2, 3]], [[4, 5, 6, 7]])
    assert (histogram.usage, histogram.total) == (1.0, 8)
    assert histogram.perplexity == pytest.approx(8)
    assert histogram.entropy == pytest.approx(3)


def test_one_code():
    histogram = counted(100, [[[7, 7], [7, 7]]])
    assert (histogram.usage, histogram.perplexity) == (0.01, pytest.approx(1))


def test_unequal_frequencies():
    # p = 1/2, 1/4, 1/4: entropy 1.5 bit
    histogram = counted(6, [5, 5, 0, 1])
    assert histogram.usage == pytest.approx(0.5)
    assert histogram.perplexity == pytest.approx(2**1.5)


def test_tokens_outside_the_codebook_and_none_at_all():
    with pytest.raises(RequestError, match=r"0 \.\. 7; got 3 \.\. 8"):
        counted(8, [3, 8])
    with pytest.raises(RequestError, match="float32"):
        counted(8, [0.5])
    with pytest.raises(RequestError, match="No tokens"):
        counted(8).usage  # noqa: B018


@pytest.mark.parametrize(
    ("tokens", "codes", "expected"),
    [
        (64, 8192, 104), (64, 16384, 112), (256, 8192, 416),
        (8, 2, 1), (9, 2, 2), (1, 256, 1), (1, 257, 2), (5, 1, 0),
    ],
)  # fmt: skip
def test_bytes_of_a_picture(tokens, codes, expected):
    assert bytes_needed(tokens, codes) == expected
    assert math.ceil(bits_of(tokens, codes) / 8) == expected
    assert codes**tokens <= 256**expected  # every picture's tokens are one number of so many bytes
    assert expected == 0 or codes**tokens > 256 ** (expected - 1)  # and of no fewer
