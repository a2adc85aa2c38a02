"""The codecs themselves, on small pictures: bytes kept, scales searched, the choice honest."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import drawn

from zoo.errors import DataError, ImageError, RequestError, Unsupported
from zoo.evaluate import CODECS, codecs, markdown, psnr
from zoo.evaluate.codec_search import SHRINK, Search, installed
from zoo.nn.lpips import LPIPS


def present(names=tuple(CODECS)):
    found = []
    for name in names:
        try:
            installed(name)
        except Unsupported:
            continue
        found.append(name)
    return found


def exhaustive(original, name, budget):
    """The best PSNR over every scale and quality, written out plainly."""
    codec, image = CODECS[name], Image.fromarray(original.permute(1, 2, 0).numpy())
    best = -1.0
    for shrink in SHRINK:
        side = [max(1, round(each / shrink)) for each in image.size]
        for quality in range(codec.lowest, codec.highest + 1):
            file = io.BytesIO()
            image.resize(side, Image.Resampling.LANCZOS).save(
                file, quality=quality, **codec.options
            )
            if file.tell() > budget:
                continue
            back = Image.open(file).convert("RGB").resize(image.size, Image.Resampling.LANCZOS)
            made = torch.from_numpy(np.array(back)).permute(2, 0, 1)
            best = max(best, float(psnr(original[None], made[None])))
    return best


@pytest.mark.parametrize(("name", "budget"), [("jpeg", 420), ("webp", 120), ("webp", 400)])
def test_the_search_finds_what_an_exhaustive_one_finds(name, budget):
    picture = drawn(3)[2]
    (row,) = codecs(picture[None], budget, [name], by="psnr")
    assert row.bytes <= budget
    # sizes do not grow strictly with quality, so a quality that fits by chance may be missed
    assert exhaustive(picture, name, budget) - 0.3 <= row.psnr <= exhaustive(picture, name, budget)


def test_every_codec_keeps_to_the_bytes_and_gets_better_with_more():
    images = drawn(2, 48)
    names = present()
    assert {"jpeg", "webp"} <= set(names)
    rows = codecs(images, [500, 900], names, by="psnr")
    assert [(row.budget, row.codec) for row in rows] == [(b, n) for b in (500, 900) for n in names]
    for small, large in zip(rows[: len(names)], rows[len(names) :], strict=True):
        assert small.fits == large.fits == 1
        assert small.bytes <= 500
        assert small.bytes < large.bytes <= 900
        assert small.psnr < large.psnr
        assert large.pictures.shape == images.shape
        assert large.psnr == pytest.approx(float(psnr(images, large.pictures).mean()))
        assert large.lpips is None


def test_what_fits_nowhere_is_the_smallest_file_and_is_said():
    (row,) = codecs(drawn(2), 20, ["jpeg"], by="psnr")
    assert row.fits == 0
    assert min(row.sizes) > 20
    search = Search(CODECS["jpeg"], drawn(1)[0])
    qualities = range(1, 7)
    assert row.sizes[0] == min(len(search.file(s, q)) for s in SHRINK for q in qualities)
    assert row.label(0).startswith(f"{row.sizes[0]}! bytes")
    assert "never: its smallest files" in markdown([row])


def test_lpips_chooses_another_scale_than_psnr_may(fake_lpips):
    net = LPIPS("alex", fake_lpips)
    images = drawn(3, 40)
    (near,) = codecs(images, 150, ["webp"], by="lpips", lpips=net)
    (sharp,) = codecs(images, 150, ["webp"], by="psnr", lpips=net)
    assert near.lpips is not None
    assert sharp.lpips is not None
    assert all(a <= b for a, b in zip(near.distances, sharp.distances, strict=True))
    assert all(a <= b for a, b in zip(near.psnrs, sharp.psnrs, strict=True))
    made = net(near.pictures.float() / 127.5 - 1, images.float() / 127.5 - 1)
    assert near.lpips == pytest.approx(float(made.mean()), abs=1e-6)


def test_grey_pictures(fake_lpips):
    images = drawn(2, 32, channels=1)
    for row in codecs(images, 700, present(), lpips=LPIPS("alex", fake_lpips)):
        assert row.pictures.shape == images.shape
        assert row.psnr > 15


def test_a_table_for_the_card():
    (row,) = codecs(drawn(2), 300, ["webp"], by="psnr")
    lines = markdown([row], [("vqgan", 112.0, 23.456, 0.0789)]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == "| **vqgan** | 112 | 23.46 | 0.079 | all |"
    assert lines[3].startswith("| WebP at 300 | ")


def test_wrong_requests():
    images = drawn(1)
    with pytest.raises(RequestError, match=r"No codec 'jpg'.*Did you mean 'jpeg'"):
        codecs(images, 100, ["jpg"], by="psnr")
    with pytest.raises(RequestError, match="at least 1"):
        codecs(images, [], by="psnr")
    with pytest.raises(ImageError, match=r"float32 \(1, 3, 32, 32\)"):
        codecs(images.float(), 100)
    with pytest.raises(DataError, match="zoo data build lpips"):
        codecs(images, 100, ["jpeg"])
