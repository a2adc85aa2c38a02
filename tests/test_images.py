import copy
import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from zoo import ImageError, Images
from zoo.images import from_uint8, to_uint8


def ramp(channels=3):
    """All 256 levels, (1, C, 16, 16)."""
    return from_uint8(torch.arange(256).reshape(1, 1, 16, 16).expand(1, channels, 16, 16))


def test_every_level_of_8_bits_survives():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(levels)), levels)
    assert from_uint8(levels)[[0, 255]].tolist() == [-1, 1]
    assert to_uint8(torch.tensor([-1.5, -1, 0, 1, 9.0])).tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pil_numpy_and_paths_give_the_same_images(tmp_path, channels):
    images = Images(ramp(channels))
    (picture,) = images.pil()
    picture.save(tmp_path / "a.png")
    array = images.uint8()
    assert array.shape == (1, 16, 16, channels)
    for source in (picture, array, array[0], tmp_path / "a.png", [str(tmp_path / "a.png")]):
        assert torch.equal(Images.read(source, channels), images.tensor)
    assert torch.equal(Images.read([picture, images[0], array[0]], channels)[2], images.tensor)


def test_images_are_a_tensor_whose_results_are_plain_tensors():
    images = Images(torch.zeros(3, 1, 4, 4))
    assert isinstance(images, torch.Tensor)
    for plain in (images + 1, images.mean(), images[:, 0], images.tensor, images.flatten(1)):
        assert type(plain) is torch.Tensor
    assert type(images[0]) is type(images[1:]) is Images
    assert images[0].shape == (1, 1, 4, 4)
    assert [each.shape for each in images] == [(1, 1, 4, 4)] * 3
    assert repr(images) == "Images(3 of 1x4x4, torch.float32 on cpu)"


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), r"floating point.*uint8.*x / 127\.5 - 1"),
        (torch.full((1, 3, 4, 4), 200.0), r"in \[200, 200\].*look like 0 \.\. 255"),
        (torch.full((1, 3, 4, 4), 1.01), r"in \[1\.01, 1\.01\].*Rescale"),
        (torch.full((1, 3, 4, 4), -1.1), r"in \[-1\.1, -1\.1\]"),
        (torch.full((1, 3, 4, 4), float("nan")), r"NaN or infinity"),
        (torch.full((1, 3, 4, 4), float("inf")), r"NaN or infinity"),
        (torch.zeros(4, 4), r"\(B, C, H, W\) or \(C, H, W\).*\(4, 4\)"),
        (torch.zeros(0, 3, 4, 4), r"not empty"),
    ],
)
def test_what_is_no_image_is_told(tensor, words):
    with pytest.raises(ImageError, match=words):
        Images(tensor)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], "an empty list"),
        (3, "got int"),
        (np.zeros((4, 4, 3), np.int64), "uint8 or floating point"),
        (np.zeros((3, 4, 5), np.uint8), r"\(H, W, C\).*got \(3, 4, 5\)"),
        ("nowhere.png", "nowhere.png: there is no such file"),
        ([torch.zeros(3, 4, 4), torch.zeros(3, 5, 5)], r"2 shapes.*\(3, 4, 4\) and \(3, 5, 5\)"),
    ],
)
def test_what_is_no_picture_is_told(source, words):
    with pytest.raises(ImageError, match=words):
        Images.read(source)


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG not really")
    with pytest.raises(ImageError, match=r"a\.png: cannot be read as a picture"):
        Images.read(tmp_path / "a.png")


def test_rounding_may_take_images_a_little_outside():
    assert Images(torch.full((1, 1, 2, 2), 1.0005)).shape == (1, 1, 2, 2)


def test_transparency_is_laid_on_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert torch.equal(Images.read(clear), torch.ones(1, 3, 4, 4))
    half = Images.read(Image.new("LA", (4, 4), (0, 128)), channels=1)
    assert float(half.mean()) == pytest.approx(127 / 127.5 - 1)
    assert Images.read(clear, channels=4).shape == (1, 4, 4, 4)


def test_pictures_of_many_sizes_are_cropped_to_one():
    pictures = [Image.new("RGB", (40, 20), "red"), Image.new("L", (9, 30), 255)]
    images = Images.read(pictures, channels=3, size=8)
    assert images.shape == (2, 3, 8, 8)
    assert images.tensor[0, :, 0, 0].tolist() == [1, -1, -1]
    assert Images.read(pictures, channels=1, size=(4, 6)).shape == (2, 1, 4, 6)


def test_images_can_be_copied_and_sent_to_another_process():
    images = Images(torch.zeros(2, 3, 4, 4))
    for again in (copy.deepcopy(images), pickle.loads(pickle.dumps(images))):
        assert type(again) is Images
        assert torch.equal(again, images)


def test_a_grid_holds_every_picture():
    images = Images(torch.linspace(-1, 0, 5).reshape(5, 1, 1, 1).expand(5, 3, 4, 6))
    grid = images.grid(columns=2, gap=1)
    assert grid.shape == (1, 3, 3 * 5 - 1, 2 * 7 - 1)
    assert torch.equal(grid.tensor[0, :, 5:9, 7:13], images.tensor[3])
    assert torch.equal(grid.tensor[0, :, :, 6], torch.ones(3, 14))


def test_saving_one_file_or_a_folder(tmp_path):
    images = Images(torch.zeros(3, 3, 4, 4))
    assert images.save(tmp_path / "all" / "grid.png") == [tmp_path / "all" / "grid.png"]
    assert Images.read(tmp_path / "all" / "grid.png").shape == (1, 3, 10, 10)
    files = images.save(tmp_path / "each")
    assert [each.name for each in files] == ["000.png", "001.png", "002.png"]
    assert Images.read(files).shape == (3, 3, 4, 4)


def test_a_notebook_shows_all_pictures():
    png = Images(ramp().repeat(4, 1, 1, 1))._repr_png_()
    assert Image.open(io.BytesIO(png)).size == (34, 34)
