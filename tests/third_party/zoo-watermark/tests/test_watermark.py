"""What the watermark costs and outlasts, and that families keep their contract inside it."""

import io

import pytest
import torch
import zoo_watermark
from PIL import Image

import zoo
from zoo import rng
from zoo.testing.report import check_wrappers

PICTURES = 12


@pytest.fixture(scope="module")
def images():
    """The demo's icons and photographs at 128 px (12, 3, 128, 128)."""
    from importlib.resources import files

    folder = files("zoo") / "demo_data"
    paths = sorted(
        str(each) for each in folder.iterdir() if each.name.startswith(("icon-", "photo-"))
    )
    assert len(paths) == PICTURES
    return zoo.Images.read(paths, channels=3, size=128).tensor


def saved(images, kind, **options):
    """Images written as files of some kind and read again."""
    again = []
    for picture in zoo.Images(images).pil():
        file = io.BytesIO()
        picture.save(file, kind, **options)
        again.append(Image.open(file).convert(picture.mode))
    return zoo.Images.read(again, channels=images.shape[1]).tensor


@pytest.mark.parametrize(
    ("kind", "options", "errors"),
    [
        ("PNG", {}, 0.0),
        ("JPEG", {"quality": 90}, 0.0),
        ("JPEG", {"quality": 75}, 0.0),
        ("JPEG", {"quality": 50}, 0.005),
        ("JPEG", {"quality": 30}, 0.1),
        ("WEBP", {"quality": 80}, 0.0),
    ],
)
def test_the_bits_outlast_files(images, kind, options, errors):
    again = saved(zoo_watermark.embed(images, "me"), kind, **options)
    wrong = zoo_watermark.wrong(again, "me")
    assert float(wrong.mean()) <= errors
    if errors < 0.01:
        assert zoo_watermark.marked(again, "me").all()


def test_it_is_not_seen(images):
    marked = zoo_watermark.embed(images, "me")
    assert marked.abs().max() <= 1
    squares = (saved(marked, "PNG") - images).square().mean((1, 2, 3))
    assert (10 * torch.log10(4 / squares)).min() > 32.5  # dB
    assert (marked - images).abs().max() * 127.5 < 40


def test_it_is_not_read_where_it_is_not(images):
    marked = zoo_watermark.embed(images, "me")
    assert not zoo_watermark.marked(images, "me").any()
    assert not zoo_watermark.marked(marked, "you").any()
    noise = rng.normal(rng.streams(rng.generator(0), 200), 1, 32, 32).clamp(-1, 1)
    wrong = zoo_watermark.wrong(noise, "me")
    assert abs(float(wrong.mean()) - 0.5) < 0.03  # sqrt(1 / 4 / 6400) = 0.006


def test_small_pictures_are_refused():
    with pytest.raises(zoo.ImageError, match="pictures of 8x8 are too small"):
        zoo_watermark.embed(torch.zeros(1, 3, 8, 8), "me")


def test_samples_of_every_family_bear_it(monkeypatch):
    monkeypatch.setenv("ZOO_WATERMARK", "somebody")
    samples = saved(zoo.load("glow-cifar10").sample(2, seed=0).tensor, "PNG")
    assert zoo_watermark.marked(samples, "somebody").all()
    assert not zoo_watermark.marked(samples, "genzoo").any()


def test_every_family_keeps_its_contract_inside_it():
    assert [each.message for each in check_wrappers("watermark") if each.verdict == "mend"] == []
