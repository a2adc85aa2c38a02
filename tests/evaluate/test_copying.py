"""Distances to training pictures, where they can be counted by hand."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from zoo.errors import RequestError
from zoo.evaluate.captions import takes_text
from zoo.evaluate.copying import copying, nearest


def test_nearest_is_the_least_distance():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(300, 5, generator=generator), torch.randn(70, 5, generator=generator)
    one[17] = other[3]
    distance, which = nearest(one, other)
    every = (one[:, None] - other).square().sum(-1).sqrt()
    torch.testing.assert_close(distance, every.min(1).values)
    assert which.equal(every.argmin(1))
    assert distance[17] == 0


def plain(pictures):
    return pictures.flatten(1).double()


def test_a_model_of_sixteen_colours_that_were_all_trained_on(blocks, tmp_path):
    """Samples of `blocks` from a set that holds them: each is at 0; noise is not."""
    samples = [each for step in range(2)
               for each in blocks.sample(4, seed=step).tensor.add(1).mul(127.5).round().byte()]  # fmt: skip
    held = torch.randint(256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    found = copying(blocks, held, [{"image": each} for each in samples], batch_size=4,
                    sheet=tmp_path / "a" / "copies.png", features=plain)  # fmt: skip
    assert [each.value for each in found][::2] == [0.0, 100.0]
    assert found[1].value > 1000
    assert found[2].settings["training pictures"] == 8
    with Image.open(tmp_path / "a" / "copies.png") as sheet:
        assert sheet.width >= 8 * 32
    far = copying(blocks, held, [{"image": each} for each in held], batch_size=4, features=plain)
    assert [each.value for each in far][1:] == [0.0, 0.0]


def test_what_is_asked(blocks):
    with pytest.raises(RequestError, match="count is 2 to 3"):
        copying(blocks, torch.zeros(3, 3, 32, 32).byte(), [], count=4, features=plain)
    told = replace(blocks, card=replace(blocks.card, pipeline_tag="text-to-image"))
    assert takes_text(told.card)
    assert not takes_text(blocks.card)
