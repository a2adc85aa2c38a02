"""Users' folders and shards as they really come: odd text files, odd tars, odd pictures."""

import io
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from zoo.data import open_set
from zoo.data.folder import PictureFolder
from zoo.data.storage import BuiltSet, write
from zoo.errors import DataError


def encoded(mode="RGB", size=(40, 32), colour=None, kind="PNG"):
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, kind)
    return file.getvalue()


def shard(path, **members):
    with tarfile.open(path, "w") as tar:
        for name, data in members["members"]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("prefix", ["", "./", "v1.0/", "./a.b/c/"])
def test_members_of_one_stem_belong_together_whatever_folder_they_are_in(tmp_path, prefix):
    members = [
        (f"{prefix}0.png", encoded()),
        (f"{prefix}0.txt", b"a cat"),
        (f"{prefix}0.cls", b"3"),
    ]
    (item,) = PictureFolder(shard(tmp_path / "s.tar", members=members), "all", 16)
    assert (item["caption"], item["label"], item["image"].shape) == ("a cat", 3, (3, 16, 16))


@pytest.mark.parametrize(
    ("ending", "data"),
    [("cls", b"cat"), ("json", b'{"capt'), ("json", b"[1]"), ("txt", b"\xff\xfe\x00")],
)
def test_unreadable_facts_leave_the_picture(tmp_path, ending, data):
    path = shard(tmp_path / "s.tar", members=[("0.png", encoded()), (f"0.{ending}", data)])
    with pytest.warns(UserWarning, match=f"1 captions are not used: s.tar/0.{ending}"):
        found = PictureFolder(path, "all", 16)
    assert set(found[0]) == {"image", "name"}
    assert list(found.unread) == [f"s.tar/0.{ending}"]


def test_a_shard_that_ends_early_is_named(tmp_path):
    path = shard(tmp_path / "s.tar", members=[("0.png", encoded())])
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DataError, match=r"s\.tar is no readable tar"):
        open_set(path, "all", 16)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "\ufefffile_name,text\nd/a.png,a red door\n"),
        ("captions.csv", "file_name,caption\nd\\a.png,a red door\n"),
        ("captions.jsonl", '{"file_name": "d/a.png", "caption": "a red door"}\n\n'),
        ("captions.json", '[{"file_name": "d/a.png", "text": "a red door"}]'),
    ],
)
def test_tables_are_read_as_programs_save_them(tmp_path, name, text):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.png").write_bytes(encoded())
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert open_set(tmp_path, "all", 16)[0]["caption"] == "a red door"


def test_a_row_without_a_caption_or_a_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded())
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png\ngone.png,a ghost\n")
    with pytest.warns(UserWarning, match=r"gone\.png \(has a caption, but is not in the folder"):
        found = PictureFolder(tmp_path, "all", 16)
    assert "caption" not in found[0]


def test_a_table_in_another_encoding_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded())
    (tmp_path / "metadata.csv").write_bytes("file_name,text\na.png,été\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"metadata\.csv is not UTF-8"):
        open_set(tmp_path, "all", 16)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    Image.fromarray(np.full((32, 32), 0x4040, np.uint16)).save(tmp_path / "a.png")
    assert open_set(tmp_path, "all", 16)[0]["image"].unique().tolist() == [0x40]


def test_print_colours_and_transparency_become_rgb_on_white(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded("CMYK", colour=(0, 0, 0, 0), kind="JPEG"))
    (tmp_path / "b.png").write_bytes(encoded("LA", colour=(0, 0)))
    for item in open_set(tmp_path, "all", 16):
        assert item["image"].unique().tolist() == [255], item["name"]


def test_a_link_to_nothing_is_left_out(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded())
    (tmp_path / "b.png").symlink_to(tmp_path / "nowhere")
    with pytest.warns(UserWarning, match="1 pictures are left out"):
        assert len(open_set(tmp_path, "all", 16)) == 1


def test_a_folder_with_a_data_json_of_its_own_is_no_built_set(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded())
    (tmp_path / "data.json").write_text('{"mine": 1}')
    assert len(open_set(tmp_path, "all", 16)) == 1


def toy():
    for index in range(3):
        yield "train", np.full((4, 4, 3), index, np.uint8), {"name": str(index)}


ABOUT = {"name": "toy", "size": 4, "sources": [{"licence": "MIT"}]}


@pytest.mark.parametrize(("file", "text"), [("data.json", "{"), ("train.jsonl", "nonsense")])
def test_a_damaged_set_names_the_file(tmp_path, file, text):
    folder = write(tmp_path / "toy-4", toy(), ABOUT)
    (folder / file).write_text(text)
    with pytest.raises(DataError, match=rf"{file} cannot be read.*Build the set again"):
        open_set(folder)


def test_what_a_killed_build_left_is_swept_and_a_running_one_is_not(tmp_path):
    code = (
        "import os, sys, pathlib, numpy as np; from zoo.data.storage import write\n"
        "def half():\n"
        "    yield 'train', np.zeros((4, 4, 3), np.uint8), {'name': 'a'}\n"
        "    os.kill(os.getpid(), 9)\n"
        "write(pathlib.Path(sys.argv[1]), half(), {})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "toy-4")], check=False)
    assert done.returncode == -9
    assert len(list(tmp_path.glob(".toy-4.partial-*"))) == 1
    running = tmp_path / ".toy-4.partial-1"
    running.mkdir()
    folder = write(tmp_path / "toy-4", toy(), ABOUT)
    assert sorted(each.name for each in tmp_path.iterdir()) == [running.name, "toy-4"]
    assert len(BuiltSet(folder, "train")) == 3
