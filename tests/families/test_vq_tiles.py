"""Large pictures in tiles: what a local net gives does not depend on them."""

import pytest
import torch
from torch.nn import functional as F

from zoo.nn import tiles


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiles, "LIMIT", 40 * 40)
    monkeypatch.setattr(tiles, "TILE", 32)
    monkeypatch.setattr(tiles, "MARGIN", 8)
    monkeypatch.setattr(tiles, "FEW", 16)


def local_tokens(images):
    """A token is made of a 12 x 12 neighbourhood of its 4 x 4 pixels."""
    blurred = F.avg_pool2d(F.pad(images, (4, 4, 4, 4)), 9, stride=1)
    return (F.avg_pool2d(blurred, 4).mean(1) * 1000).round().long()


def local_images(tokens):
    """A pixel is made of its token and the neighbouring ones."""
    grown = F.interpolate(tokens[:, None].double(), scale_factor=4.0)
    return F.avg_pool2d(F.pad(grown, (3, 3, 3, 3)), 7, stride=1)


@pytest.mark.parametrize("size", [(96, 96), (64, 100), (44, 132), (36, 40)])
def test_tiles_give_what_the_whole_gives(small_tiles, size):
    images = torch.rand(2, 3, *size, dtype=torch.float64)
    whole = local_tokens(images)
    seen = []

    def watched(part):
        seen.append(part.shape[-2] * part.shape[-1])
        return local_tokens(part)

    assert torch.equal(tiles.encode(watched, images), whole)
    back = tiles.decode(local_images, whole)
    inner = (..., slice(4, -4), slice(4, -4))
    assert torch.allclose(back[inner], local_images(whole)[inner], atol=1e-9)
    assert max(seen) <= 48 * 48
    assert (len(seen) == 1) == (size[0] * size[1] <= tiles.LIMIT)


def test_a_constant_picture_has_no_seams(small_tiles):
    back = tiles.decode(
        lambda tokens: torch.ones(1, 3, *(4 * s for s in tokens.shape[-2:])), torch.zeros(1, 30, 40)
    )
    assert torch.allclose(back, torch.ones_like(back), atol=1e-6)
