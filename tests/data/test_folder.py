"""Users' own pictures: captions, odd files, shards, and opening sets by name."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from zoo.data import build, names, open_set, preview
from zoo.data.batching import collate
from zoo.data.folder import PictureFolder
from zoo.errors import DataError


def picture(path, size=(40, 30), colour=(10, 200, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def own(tmp_path):
    for index in range(60):
        picture(tmp_path / "own" / f"{index:02d}.png", colour=(index, 0, 0))
    return tmp_path / "own"


def test_splits_are_disjoint_whole_and_stable(own):
    parts = [[item["name"] for item in open_set(own, split, 16)] for split in ("train", "test")]
    assert sorted(parts[0] + parts[1]) == sorted(item["name"] for item in open_set(own, "all", 16))
    assert parts[1]
    picture(own / "zz.png")
    assert [item["name"] for item in open_set(own, "test", 16)][: len(parts[1])] == parts[1]


def test_bad_files_are_named_and_left_out(own):
    (own / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    picture(own / "small.png", (8, 8))
    with pytest.warns(UserWarning, match="2 pictures are left out"):
        found = PictureFolder(own, "all", 16)
    assert sorted(found.skipped) == ["broken.png", "small.png"]
    assert "smaller than 16" in found.skipped["small.png"]
    assert len(found) == 60


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.txt", "a red door"),
        ("captions.json", json.dumps({"a.png": "a red door"})),
        ("metadata.csv", 'file_name,text\na.png,"a red door"\n'),
        ("metadata.jsonl", json.dumps({"file_name": "a.png", "caption": "a red door"})),
    ],
)
def test_captions_come_from_where_people_put_them(tmp_path, file, text):
    picture(tmp_path / "a.png")
    (tmp_path / file).write_text(text)
    assert PictureFolder(tmp_path, "all", 16)[0]["caption"] == "a red door"


def test_a_picture_has_another_one_beside_it(tmp_path):
    """A depth map of 16 bits, mirrored with its picture; what lacks one is left out by name."""
    for index in range(3):
        picture(tmp_path / f"{index}.jpg", (32, 32))
    for index in (0, 1):
        slope = np.linspace(0, 65535, 32).astype(np.uint16)[None].repeat(32, 0)
        Image.fromarray(slope).save(tmp_path / f"{index}.depth.png")
    picture(tmp_path / "3.jpg", (32, 32))
    (tmp_path / "3.depth.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="are left out"):
        found = open_set(tmp_path, "all", 32, beside="depth")
    assert [item["name"] for item in found] == ["0.jpg", "1.jpg"]
    assert found.skipped["2.jpg"] == "has no 2.depth.png beside it"
    assert found.skipped["3.jpg"] == "its 3.depth.png is left out"
    assert found[0]["beside"].shape == (3, 32, 32)
    batch = collate([found[0], found[1]], [False, True])
    across = batch["beside"][:, 0, 0]
    assert across[0].tolist() == sorted(across[0].tolist())
    assert across[1].tolist() == across[0].flip(0).tolist()
    assert across[0, 0] == -1
    assert across[0, -1] == 1
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(tmp_path / "0.jpg", "0.jpg")
    with pytest.raises(DataError, match="these are shards"):
        open_set(tmp_path / "all.tar", "all", 32, beside="depth")


def test_a_table_without_captions_is_an_error(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,colour\na.png,red\n")
    with pytest.raises(DataError, match=r"metadata\.csv"):
        PictureFolder(tmp_path, "all", 16)


def test_pictures_are_upright_flattened_and_cropped(tmp_path):
    wide = Image.new("RGB", (64, 32), "blue")
    wide.paste("red", (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    wide.save(tmp_path / "turned.png", exif=exif)
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    items = {item["name"]: item["image"] for item in PictureFolder(tmp_path, "all", 16)}
    assert items["clear.png"].min() == 255
    turned = items["turned.png"].permute(1, 2, 0).numpy()
    assert turned[2, 8].tolist() == [255, 0, 0]
    assert turned[13, 8].tolist() == [0, 0, 255]


def test_shards_are_read_in_place(tmp_path):
    with tarfile.open(tmp_path / "000.tar", "w") as tar:
        for index in range(3):
            image = io.BytesIO()
            Image.fromarray(np.full((20, 20, 3), index * 50, np.uint8)).save(image, "PNG")
            members = {
                "png": image.getvalue(),
                "json": json.dumps({"caption": f"no {index}", "label": index}).encode(),
            }
            for ending, data in members.items():
                info = tarfile.TarInfo(f"{index:03d}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    found = open_set(tmp_path, "all", 16)
    assert [item["caption"] for item in found] == ["no 0", "no 1", "no 2"]
    assert found[2]["label"] == 2
    assert int(found[1]["image"].max()) == 50
    (tmp_path / "bad.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(DataError, match=r"bad\.tar"):
        open_set(tmp_path, "all", 16)


def test_opening_by_name_says_what_to_build(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    with pytest.raises(DataError, match="zoo data build icons --size 64"):
        open_set("icons", size=64)
    with pytest.raises(DataError, match="'icons'"):
        open_set("iconz")
    with pytest.raises(DataError, match="holds weights"):
        open_set("lpips")
    with pytest.raises(DataError, match="does not exist"):
        open_set(tmp_path / "nowhere")
    with pytest.raises(DataError, match="it takes 32"):
        build("cifar10", 64)
    assert set(names()) >= {"icons", "cifar10", "mnist", "fashion-mnist", "photos"}


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no picture"):
        open_set(tmp_path, size=16)
    with pytest.raises(DataError, match="size"):
        open_set(tmp_path)


def test_a_preview_is_a_picture(own, tmp_path):
    path = preview(open_set(own, "all", 16), tmp_path / "sheet.png", count=24, columns=6)
    with Image.open(path) as sheet:
        assert sheet.width > 6 * 16
