"""Canny's edges and sketches: beside scikit-image, and where they must lie."""

import pytest
import torch

from zoo.annotate.canny import blurred, canny, sobel
from zoo.annotate.sketch import kept, sketch, thinned


def disc(size=48, radius=14.0, inside=0.9, outside=0.1):
    places = torch.arange(size) + 0.5 - size / 2
    away = torch.hypot(places[:, None], places[None])
    share = (radius + 0.5 - away).clamp(0, 1)
    return (outside + (inside - outside) * share)[None, None].double(), away


def test_a_step_is_one_line_and_a_disc_one_ring():
    step = torch.zeros(1, 1, 16, 20, dtype=torch.float64)
    step[..., 9:] = 1
    edges = canny(step, sigma=1.0)[0, 0]
    assert edges[1:-1, 8:10].any(1).all()  # between the two; both where rounding makes them equal
    assert edges[:, :8].sum() == edges[:, 10:].sum() == 0
    image, away = disc()
    ring = canny(image, sigma=1.0)[0, 0]
    assert (away[ring > 0] - 14).abs().max() < 1.5
    assert ring.sum() > 2 * 14 * 2.8  # closed: as many pixels as a circle has


def test_the_blur_and_the_slope_are_the_closed_forms():
    ramp = torch.arange(40.0, dtype=torch.float64).expand(1, 1, 30, 40) / 40
    across, down = sobel(ramp)
    assert torch.allclose(across[..., 1:-1], torch.full((), 8 / 40, dtype=torch.float64))
    assert not down.abs().max() > 1e-12
    inner = blurred(ramp, 1.0)[..., 5:-5, 5:-5]
    torch.testing.assert_close(inner, ramp[..., 5:-5, 5:-5], atol=1e-12, rtol=0)
    one = torch.zeros(1, 1, 31, 31, dtype=torch.float64)
    one[..., 15, 15] = 1
    spread = blurred(one, 1.5)[0, 0]
    want = torch.exp(-((torch.arange(31) - 15.0) ** 2) / 4.5).double()
    torch.testing.assert_close(spread[15] / spread[15, 15], want * (want > 3e-4), atol=4e-4, rtol=0)


def test_the_channel_that_changes_most_is_seen():
    image = torch.zeros(1, 3, 16, 16, dtype=torch.float64)
    image[:, 0, :, :8], image[:, 1, :, 8:] = 0.6, 0.6
    grey = canny(image.mean(1, keepdim=True))
    assert not grey.any()  # equally bright
    assert canny(image)[0, 0, 1:-1, 7:9].any(1).all()


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_canny_is_scikit_images(sigma):
    feature = pytest.importorskip("skimage.feature", reason="scikit-image is not installed")
    generator = torch.Generator().manual_seed(3)
    rough = torch.rand(2, 1, 9, 11, generator=generator, dtype=torch.float64)
    images = torch.nn.functional.interpolate(rough, (60, 70), mode="bicubic").clamp(0, 1)
    found = canny(images, sigma=sigma, low=0.1, high=0.2)
    for image, ours in zip(images, found, strict=True):
        theirs = feature.canny(image[0].numpy(), sigma=sigma, low_threshold=0.1, high_threshold=0.2)
        assert theirs.sum() > 100
        assert (torch.as_tensor(theirs) != (ours[0] > 0)).sum() == 0


def test_thinning_keeps_what_is_connected_and_lies_where_scikit_images_does():
    morphology = pytest.importorskip("skimage.morphology", reason="scikit-image is not installed")
    measure = pytest.importorskip("skimage.measure", reason="scikit-image is not installed")
    generator = torch.Generator().manual_seed(4)
    rough = torch.rand(1, 1, 8, 8, generator=generator)
    ink = torch.nn.functional.interpolate(rough, (48, 48), mode="bicubic") > 0.55
    theirs = torch.as_tensor(morphology.skeletonize(ink[0, 0].numpy(), method="zhang"))[None, None]
    ours = thinned(ink)
    assert not (ours & ~ink).any()
    pieces = [measure.label(each[0, 0].numpy(), connectivity=2).max() for each in (ours, ink)]
    assert pieces[0] == pieces[1] > 3
    for one, other in ((ours, theirs), (theirs, ours)):
        near = torch.nn.functional.max_pool2d(other.float(), 5, 1, 2) > 0
        assert (one & near).sum() > 0.95 * one.sum()


def test_a_slanting_line_two_pixels_wide_stays_a_line():
    ink = torch.zeros(1, 1, 20, 20, dtype=torch.bool)
    for i in range(2, 17):
        ink[0, 0, i, i : i + 2] = True
    assert thinned(ink)[0, 0].any(1).sum() >= 14


def test_a_thick_line_becomes_one_stroke_and_a_speck_goes():
    image = torch.ones(1, 3, 32, 40)
    image[..., 16:20, 4:36] = 0
    image[..., 4:6, 3:9] = 0
    strokes = sketch(image, least=12)[0, 0]
    assert strokes.sum(0)[8:32].eq(1).all()
    assert not strokes[:12].any()
    both = sketch(image, least=1)[0, 0]
    assert both[:12].any()
    torch.testing.assert_close(both[12:], strokes[12:])


def test_strokes_are_kept_by_how_many_pixels_are_connected():
    ink = torch.zeros(2, 1, 6, 9, dtype=torch.bool)
    ink[0, 0, 1, 1:4] = True
    ink[0, 0, 2, 4] = True  # touches it at a corner: four
    ink[0, 0, 5, 7:9] = True
    ink[1, 0, 0, 0] = True
    found = kept(ink, 3)
    assert found[0, 0, 1:3].sum() == 4
    assert not found[0, 0, 5].any()
    assert not found[1].any()
    assert torch.equal(kept(ink, 1), ink)
