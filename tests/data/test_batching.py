"""Batches are a pure function of (seed, step)."""

import itertools

import pytest
import torch

from zoo.data.batching import batches
from zoo.errors import DataError


class Ramp:
    """Picture i is filled with i; its left half is dark, so a flip can be seen."""

    name = "ramp"

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        picture = torch.full((1, 2, 4), index, dtype=torch.uint8)
        picture[..., :2] = 0
        return {"image": picture, "label": index, "caption": f"number {index}"}


def taken(**options):
    return list(itertools.islice(batches(Ramp(10), 4, **options), 6))


def test_starting_later_gives_the_same_batches():
    whole, rest = taken(seed=3, flip=True), taken(seed=3, start_step=2, flip=True)
    for first, second in zip(whole[2:], rest, strict=False):
        assert torch.equal(first["images"], second["images"])
        assert first["captions"] == second["captions"]


def test_an_epoch_shows_no_picture_twice_and_epochs_differ():
    labels = [batch["labels"].tolist() for batch in taken(seed=0)]
    epochs = [labels[0] + labels[1], labels[2] + labels[3], labels[4] + labels[5]]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_seeds_differ():
    assert any(
        not torch.equal(a["labels"], b["labels"])
        for a, b in zip(taken(seed=0), taken(seed=1), strict=True)
    )


def test_processes_share_the_batch_of_one_process():
    whole = taken(seed=5, flip=True)
    shares = [taken(seed=5, flip=True, rank=rank, world=2) for rank in range(2)]
    for step, batch in enumerate(whole):
        both = torch.stack([shares[0][step]["images"], shares[1][step]["images"]], 1).flatten(0, 1)
        assert torch.equal(both, batch["images"])


def test_images_are_in_range_and_some_are_mirrored():
    images = torch.cat([batch["images"] for batch in taken(seed=0, flip=True)])
    assert images.dtype == torch.float32
    assert images.min() == -1
    dark_left = (images[:, 0, 0, 0] == -1) & (images[:, 0, 0, -1] > -1)
    dark_right = (images[:, 0, 0, 0] > -1) & (images[:, 0, 0, -1] == -1)
    assert dark_left.any()
    assert dark_right.any()


@pytest.mark.parametrize(
    ("batch", "world", "says"), [(16, 1, "fewer than a batch"), (5, 2, "divide")]
)
def test_impossible_batches_are_refused(batch, world, says):
    with pytest.raises(DataError, match=says):
        next(batches(Ramp(10), batch, world=world))
