"""PSNR, SSIM and MSE against closed forms, and against torchmetrics where it is installed."""

import math

import pytest
import torch
from synthetic import drawn

from zoo.errors import ImageError
from zoo.evaluate import mse, psnr, ssim


def grey(level, side=16, channels=3):
    return torch.full((1, channels, side, side), level, dtype=torch.uint8)


@pytest.mark.parametrize("error", [1, 7, 100, 255])
def test_psnr_of_a_known_error(error):
    assert float(mse(grey(0), grey(error))) == error**2
    assert float(psnr(grey(0), grey(error))) == pytest.approx(
        20 * math.log10(255 / error), abs=1e-9
    )


def test_an_error_in_some_pixels_is_averaged_over_all():
    changed = grey(10)
    changed[0, 1, 3, :4] = 30  # 4 of 768 values are off by 20
    assert float(mse(grey(10), changed)) == pytest.approx(4 * 400 / 768)


def test_equal_pictures_are_perfect_and_psnr_stays_finite(pictures):
    assert mse(pictures, pictures).eq(0).all()
    assert psnr(pictures, pictures).eq(60).all()
    assert torch.allclose(ssim(pictures, pictures), torch.ones(10, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize(("a", "b"), [(0, 255), (100, 120), (250, 255)])
def test_ssim_of_two_flat_pictures_is_its_luminance_term(a, b):
    c1 = (0.01 * 255) ** 2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert float(ssim(grey(a), grey(b))) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_a_negative_is_negative():
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    board = (((x + y) % 2) * 255).to(torch.uint8).expand(1, 1, 32, 32)
    assert float(ssim(board, 255 - board)) < -0.9


def test_ssim_equals_torchmetrics():
    functional = pytest.importorskip("torchmetrics.functional.image")
    a = drawn(3, 40)
    b = (a.int() + torch.arange(40) % 7 * 6).clamp(0, 255).to(torch.uint8)
    _, places = functional.structural_similarity_index_measure(
        b.double(), a.double(), data_range=255.0, return_full_image=True, reduction="none"
    )
    theirs = places[..., 5:-5, 5:-5].mean((1, 2, 3))  # it also counts windows over the border
    assert torch.allclose(ssim(a, b), theirs, atol=1e-9)


@pytest.mark.parametrize("measure", [mse, psnr, ssim])
def test_shapes_and_types_that_cannot_be_compared(measure):
    with pytest.raises(ImageError, match=r"\(1, 3, 16, 16\) and \(1, 3, 8, 8\)"):
        measure(grey(1), grey(1, side=8))
    with pytest.raises(ImageError, match=r"8 bits.*float32"):
        measure(grey(1).float(), grey(1).float())


def test_ssim_needs_room_for_its_window():
    with pytest.raises(ImageError, match="11 pixels"):
        ssim(grey(1, side=10), grey(1, side=10))
