"""Built sets on disk: written whole or not at all, read by memory map, damage noticed."""

import json

import numpy as np
import pytest

from zoo.data.storage import ABOUT, BuiltSet, write
from zoo.errors import DataError

ABOUT_TOY = {
    "name": "toy",
    "sources": [{"licence": "MIT"}, {"licence": "CC0-1.0"}, {"licence": "MIT"}],
}


def toy(count=7):
    rng = np.random.default_rng(0)
    for index in range(count):
        picture = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        yield "test" if index % 3 == 0 else "train", picture, {"name": f"p{index}", "label": index}


def test_what_was_written_is_read(tmp_path):
    folder = write(tmp_path / "toy-5", toy(), ABOUT_TOY)
    train, test = BuiltSet(folder, "train"), BuiltSet(folder, "test")
    assert (len(train), len(test)) == (4, 3)
    expected = [picture for split, picture, _ in toy() if split == "train"]
    for index, picture in enumerate(expected):
        assert np.array_equal(train[index]["image"].permute(1, 2, 0).numpy(), picture)
    assert test[1]["name"] == "p3"
    assert train.licences == ["CC0-1.0", "MIT"]
    assert isinstance(train.pixels, np.memmap)


def test_a_build_that_fails_leaves_the_old_set_and_no_litter(tmp_path):
    folder = write(tmp_path / "toy-5", toy(), ABOUT_TOY)

    def broken():
        yield from toy(2)
        raise DataError("the archive ended")

    with pytest.raises(DataError, match="archive ended"):
        write(folder, broken(), ABOUT_TOY)
    assert len(BuiltSet(folder, "train")) == 4
    assert [each.name for each in tmp_path.iterdir()] == ["toy-5"]


def test_damage_is_noticed(tmp_path):
    folder = write(tmp_path / "toy-5", toy(), ABOUT_TOY)
    pixels = folder / "train.npy"
    pixels.write_bytes(pixels.read_bytes()[:-10])
    with pytest.raises(DataError, match="Build the set again"):
        BuiltSet(folder, "train")
    about = json.loads((folder / ABOUT).read_text())
    (folder / ABOUT).write_text(json.dumps(about | {"counts": {"test": 99}}))
    with pytest.raises(DataError, match="99"):
        BuiltSet(folder, "test")
    with pytest.raises(DataError, match="no split 'train'"):
        BuiltSet(folder, "train")


def test_pictures_of_two_sizes_are_refused(tmp_path):
    pictures = [("train", np.zeros((size, 4, 3), np.uint8), {"name": str(size)}) for size in (4, 5)]
    with pytest.raises(DataError, match="picture 5"):
        write(tmp_path / "odd", pictures, ABOUT_TOY)
