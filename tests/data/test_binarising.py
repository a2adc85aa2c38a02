"""Dynamic binarisation: unbiased, black and white, fixed by seed and picture, anew every step of training."""

import pytest
import torch

from zoo import rng
from zoo.data import Binarised, batches, binarise


def greys(count=6, size=5):
    pictures = torch.arange(count * size * size).reshape(count, 1, size, size) % 256
    return [{"image": each.to(torch.uint8), "label": index} for index, each in enumerate(pictures)]


def test_each_pixel_is_white_with_its_brightness():
    levels = torch.tensor([0, 51, 127, 204, 255]) / 127.5 - 1
    images = levels.repeat(20_000, 1)[:, None, None]  # (B, 1, 1, 5)
    got = binarise(images, rng.generator(0))
    assert set(got.unique().tolist()) == {-1.0, 1.0}
    white = (got > 0).double().mean(0).flatten()
    expected = (levels.double() + 1) / 2
    assert torch.allclose(white, expected, atol=4 * 0.5 / 20_000**0.5)
    assert white[0] == 0
    assert white[-1] == 1


def test_a_picture_does_not_depend_on_the_others():
    images = torch.zeros(4, 1, 8, 8)
    four = binarise(images, rng.generator(3))
    assert torch.equal(binarise(images[:2], rng.generator(3)), four[:2])
    assert not torch.equal(four[0], four[1])


def test_a_set_to_measure_with_is_drawn_once():
    data = Binarised(greys(), seed=1)
    first = data[4]
    assert torch.equal(data[4]["image"], first["image"])
    assert first["image"].dtype == torch.uint8
    assert set(first["image"].unique().tolist()) <= {0, 255}
    assert first["label"] == 4
    assert len(data) == 6
    assert any(
        not torch.equal(Binarised(greys(), seed=2)[i]["image"], data[i]["image"]) for i in range(6)
    )


@pytest.mark.parametrize("world", [1, 2])
def test_training_draws_anew_each_step_alike_on_any_number_of_processes(world):
    data = greys(4)

    def step(number):
        parts = [
            next(batches(data, 4, 0, number, rank, world, binarise=True))["images"]
            for rank in range(world)
        ]
        whole = torch.empty(4, 1, 5, 5)
        for rank, part in enumerate(parts):
            whole[rank::world] = part
        return whole

    alone = next(batches(data, 4, 0, 7, binarise=True))["images"]
    assert torch.equal(step(7), alone)
    assert set(alone.unique().tolist()) <= {-1.0, 1.0}
    orders = [next(batches(data, 4, 0, n))["images"] for n in (0, 1)]
    drawn = [next(batches(data, 4, 0, n, binarise=True))["images"] for n in (0, 1)]
    first, second = ([row.flatten().tolist() for row in each] for each in orders)
    match = [second.index(row) for row in first]
    assert not torch.equal(drawn[0], drawn[1][match])
