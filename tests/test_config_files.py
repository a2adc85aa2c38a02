"""Files that a config names: found, put in their place, copied; and what is refused."""

import json
from pathlib import Path

import pytest

from zoo import config_files
from zoo.errors import CardError

CONFIG = {"text": {"length": 4, "words": {"file": "words.json"}}, "more": [{"file": "a/b.json"}, 3]}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "words.json").write_text(json.dumps({"red": 1}))
    (tmp_path / "a" / "b.json").write_text("[1, 2]")
    return tmp_path


def test_contents_stand_where_the_names_stood(folder):
    before = json.dumps(CONFIG)
    assert config_files.filled(CONFIG, folder, "toy") == {
        "text": {"length": 4, "words": {"red": 1}},
        "more": [[1, 2], 3],
    }
    assert json.dumps(CONFIG) == before


def test_only_a_mapping_of_exactly_one_key_names_a_file(tmp_path):
    plain = {"file": {"file": 3}, "one": {"file": "x.json", "size": 2}, "two": "file"}
    assert config_files.names(plain) == []
    assert config_files.filled(plain, None, "toy") == plain


def test_each_file_is_named_once():
    assert config_files.names([CONFIG, CONFIG]) == ["words.json", "a/b.json"]


@pytest.mark.parametrize("name", ["../words.json", "/etc/passwd", "a/../../x", "c:x.json"])
def test_a_name_stays_in_its_folder(folder, name):
    with pytest.raises(CardError, match="plain path"):
        config_files.filled({"words": {"file": name}}, folder, "toy")


def test_what_cannot_be_read_is_named(folder):
    (folder / "words.json").write_text("{")
    with pytest.raises(CardError, match=r"toy: .*words\.json is no JSON"):
        config_files.filled(CONFIG, folder, "toy")
    with pytest.raises(CardError, match=r"gone\.json, which cannot be read"):
        config_files.filled({"words": {"file": "gone.json"}}, folder, "toy")
    with pytest.raises(CardError, match="no folder to find it in"):
        config_files.filled(CONFIG, None, "toy")


def test_copies_are_made_once_and_never_changed(folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("target")
    for _ in range(2):
        config_files.copy(CONFIG, folder, target, "toy")
    assert sorted(path.name for path in target.rglob("*.json")) == ["b.json", "words.json"]
    (Path(target) / "words.json").write_text("{}")
    with pytest.raises(CardError, match="was begun with"):
        config_files.copy(CONFIG, folder, target, "toy")
