"""The comparison with PNG, WebP and JPEG XL, and what it puts into a card."""

import io

import numpy as np
import pytest
import torch
from coded_pictures import CHAIN, smooth
from PIL import Image

import zoo
from zoo.codec import Picture, pack
from zoo.evaluate.command import run
from zoo.evaluate.lossless import FORMATS, lossless, saving, size_of


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["RGB", "L", "binary"])
def test_each_format_keeps_every_bit(name, kind):
    form, channels = FORMATS[name], 3 if kind == "RGB" else 1
    pixels = smooth(1, channels, 20, 30, binary=kind == "binary")[0]
    image = Picture(pixels, "RGB" if channels == 3 else "L").pil()
    if name == "jxl":
        import pillow_jxl  # noqa: F401
    file = io.BytesIO()
    image.convert(form.binary if kind == "binary" else image.mode).save(file, **form.options)
    assert size_of(image, form, kind == "binary") == len(file.getvalue())
    with Image.open(file) as back:
        assert np.array_equal(np.asarray(back.convert(image.mode)), np.asarray(image))


def test_the_model_s_row_is_its_archive(make):
    model = make(CHAIN)
    drawn = smooth(20, 3, 6, 6)
    rows = lossless(model, [torch.from_numpy(drawn[:12]), torch.from_numpy(drawn[12:])])
    size = len(pack(model, [Picture(each, "RGB") for each in drawn]).data)
    assert rows[0].bytes == size / 20
    assert rows[0].bits_per_dim == pytest.approx(8 * size / 20 / 108)
    assert [row.title for row in rows[1:]] == [form.title for form in FORMATS.values()]
    less, best = saving(rows)
    assert less == pytest.approx(100 * (1 - rows[0].bytes / min(row.bytes for row in rows[1:])))
    assert best in rows[1:]


def test_the_command_puts_it_into_the_card(make, tmp_path):
    make(CHAIN, "chain")
    folder = tmp_path / "data"
    folder.mkdir()
    for number, each in enumerate(smooth(40, 3, 6, 6)):
        Image.fromarray(each.transpose(1, 2, 0)).save(folder / f"{number}.png")
    where = tmp_path / "models" / "chain"
    for _ in range(2):  # twice: the section is replaced
        report = run(
            str(where),
            str(folder),
            metrics=["bits-per-dim"],
            write=True,
            lossless=True,
            split="train",
        )
    text = (where / "README.md").read_text()
    assert text.count("## Lossless, beside PNG, WebP and JPEG XL") == 1
    assert "--lossless`" in text
    names = [each.name for each in zoo.Card.read(where).metrics]
    assert names[:3] == [
        "bits per dimension",
        "lossless bytes a picture",
        "lossless bits per dimension",
    ]
    assert len(names) == 4
    assert report.as_dict()["lossless"][0]["title"] == "chain"


def test_a_model_without_probabilities_cannot_be_compared(pixelgauss):
    from zoo.testing import Subject

    model = Subject(pixelgauss, {"classes": 3, "shape": [3, 8, 8]}, image=(3, 8, 8)).model
    with pytest.raises(zoo.Unsupported, match="no conditional probabilities"):
        lossless(model, [torch.zeros(2, 3, 8, 8, dtype=torch.uint8)])
