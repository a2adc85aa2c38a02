"""Sheets are read back: every picture is where it belongs, labels are drawn below it."""

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import drawn

import zoo
from zoo.errors import ImageError, RequestError
from zoo.evaluate import codecs, labelled_sheet, reconstruction_sheet, sheet
from zoo.evaluate.sheets import GAP, INK, PAPER
from zoo.nn.lpips import LPIPS


def find(page, picture):
    """Left, top of every exact occurrence of a picture (H, W, 3) in a page."""
    height, width = picture.shape[:2]
    rows, columns = page.shape[0] - height + 1, page.shape[1] - width + 1
    may = np.ones((rows, columns), bool)
    for y, x in np.random.default_rng(0).integers(0, (height, width), (12, 2)):
        may &= (page[y : y + rows, x : x + columns] == picture[y, x]).all(-1)
    return [
        (int(x), int(y))
        for y, x in np.argwhere(may)
        if np.array_equal(page[y : y + height, x : x + width], picture)
    ]


def opened(path):
    with Image.open(path) as page:
        return np.array(page)


def test_pictures_stand_in_rows_with_their_labels_below(tmp_path):
    rows = [[each.permute(1, 2, 0).numpy() for each in drawn(4, 120)[i : i + 2]] for i in (0, 2)]
    path = labelled_sheet(
        rows, [["one", "two\nlines"], ["", "four"]], tmp_path / "new" / "a.png", ["A", "B"], "Top"
    )
    page = opened(path)
    places = [[find(page, each) for each in row] for row in rows]
    assert all(len(place) == 1 for row in places for place in row)
    (a, b), (c, d) = [[place[0] for place in row] for row in places]
    assert a[1] == b[1] < c[1] == d[1]
    assert a[0] == c[0] == GAP
    assert b[0] >= a[0] + 120 + GAP

    def ink(left, top, right, bottom):
        return (np.abs(page[top:bottom, left:right].astype(int) - INK).max(-1) < 60).sum()

    assert ink(a[0], a[1] + 122, a[0] + 100, a[1] + 140) > 10  # "one"
    assert ink(b[0], b[1] + 138, b[0] + 100, b[1] + 156) > 10  # the second line of "two\nlines"
    assert ink(c[0], c[1] + 122, c[0] + 100, c[1] + 140) == 0  # no label
    assert ink(0, 0, 100, GAP + 14) > 10  # the caption
    assert (page[:, : GAP - 1] == PAPER).all()


def test_small_pictures_are_enlarged_by_a_whole_factor(tmp_path):
    small = drawn(1, 32)[0]
    page = opened(labelled_sheet([[small]], [["x"]], tmp_path / "a.png", least=96))
    large = small.permute(1, 2, 0).numpy().repeat(3, 0).repeat(3, 1)
    assert len(find(page, large)) == 1


def test_long_labels_widen_their_column(tmp_path):
    narrow = opened(labelled_sheet([[drawn(1, 120)[0]] * 2], [["a", "b"]], tmp_path / "a.png"))
    wide = opened(labelled_sheet([[drawn(1, 120)[0]] * 2], [["a" * 60, "b"]], tmp_path / "b.png"))
    assert wide.shape[1] > narrow.shape[1] + 200


def test_all_kinds_of_pictures_look_alike(tmp_path):
    tensor = drawn(1, 120)[0]
    array = tensor.permute(1, 2, 0).numpy()
    floats = tensor.float() / 127.5 - 1
    kinds = [tensor, floats, array, Image.fromarray(array), zoo.Images(floats)[0]]
    page = opened(labelled_sheet([kinds], [[""] * 5], tmp_path / "a.png"))
    assert len(find(page, array)) == 5
    grey = drawn(1, 120, channels=1)[0]
    page = opened(labelled_sheet([[grey, grey[0].numpy()]], [["", ""]], tmp_path / "b.png"))
    assert len(find(page, grey[0][..., None].expand(-1, -1, 3).numpy())) == 2


def test_labels_that_do_not_match(tmp_path):
    one = drawn(1)[0]
    with pytest.raises(RequestError, match=r"\[2\] pictures, \[1\] labels"):
        labelled_sheet([[one, one]], [["a"]], tmp_path / "a.png")
    with pytest.raises(RequestError, match=r"\[\] pictures"):
        labelled_sheet([], [], tmp_path / "a.png")
    with pytest.raises(RequestError, match="2 titles for 1 columns"):
        labelled_sheet([[one]], [["a"]], tmp_path / "a.png", ["x", "y"])
    with pytest.raises(ImageError, match=r"uint8 \(2, 8, 8, 3\)"):
        labelled_sheet([[np.zeros((2, 8, 8, 3), np.uint8)]], [["a"]], tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_reconstructions_below_their_originals(blocks, pictures, tmp_path):
    path = reconstruction_sheet(blocks, pictures[:2], tmp_path / "r.png", ["disc", "other disc"])
    page = opened(path)
    made = (
        ((blocks.decode(blocks.encode(pictures[:2].float() / 127.5 - 1)).tensor + 1) * 127.5)
        .round()
        .byte()
    )
    for picture, back in zip(pictures[:2], made, strict=True):
        ((x, y),) = find(page, _enlarged(picture))
        ((left, below),) = find(page, _enlarged(back))
        assert x == left
        assert below > y + 4 * 32
    with pytest.raises(RequestError, match="labels"):
        reconstruction_sheet(blocks, pictures[:2], tmp_path / "r.png", ["one name"])
    with pytest.raises(ImageError, match=r"\(3, 32, 32\)"):
        reconstruction_sheet(blocks, pictures[0], tmp_path / "r.png")


def _enlarged(picture, factor=4):
    return picture.permute(1, 2, 0).numpy().repeat(factor, 0).repeat(factor, 1)


def test_a_comparison_at_equal_bytes(tmp_path, fake_lpips):
    images = drawn(5, 120)
    ours = (images.int() // 2 * 2).to(torch.uint8)
    rows = codecs(images, 700, ["jpeg", "webp"], by="psnr")
    path = sheet(
        images,
        ours,
        rows,
        tmp_path / "c.png",
        "half",
        700,
        shown=3,
        lpips=LPIPS("alex", fake_lpips),
    )
    page = opened(path)
    columns = [[find(page, s[i].permute(1, 2, 0).numpy()) for i in (0, 2, 4)]
               for s in (images, ours, rows[0].pictures, rows[1].pictures)]  # fmt: skip
    assert all(len(place) == 1 for column in columns for place in column)
    lefts = [{place[0][0] for place in column} for column in columns]
    assert [len(each) for each in lefts] == [1, 1, 1, 1]
    assert [min(each) for each in lefts] == sorted(min(each) for each in lefts)
    with pytest.raises(RequestError, match="one number of bytes"):
        sheet(images, ours, codecs(images, [500, 700], ["webp"], by="psnr"), tmp_path / "d.png")
    with pytest.raises(RequestError, match="the same pictures"):
        sheet(images[:2], ours[:2], rows, tmp_path / "d.png")
