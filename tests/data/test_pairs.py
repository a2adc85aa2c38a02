"""Which pairs of style and concept are new, by hand and of a folder by the command line."""

import json

import pytest
from click.testing import CliRunner
from PIL import Image

from zoo.cli import cli
from zoo.data.pairs import new_pairs, standing
from zoo.errors import DataError

TRAINING = ["a: cat", "b: cat", "c: cat", "a: dog", "b: dog", "a: red: fish", "without a style"]


def test_pairs_are_new_of_known_styles_and_concepts_the_commonest_first():
    # a has all three; b lacks the fish, c the dog and the fish, which is its own only once
    assert new_pairs(TRAINING, [], 2) == ["b: red: fish", "c: dog"]
    assert new_pairs(TRAINING, ["b: red: fish"], 2) == ["c: dog", "c: red: fish"]
    assert new_pairs(TRAINING, ["c: dog"], 1) == ["b: red: fish"]
    with pytest.raises(DataError, match="3 new pairs were asked for; of 3 concepts there are 2"):
        new_pairs(TRAINING, [], 3)
    with pytest.raises(DataError, match="of 0 concepts there are 0"):
        new_pairs(["red", "green"], [], 1)


def test_what_training_has_of_a_caption():
    told = standing(TRAINING, ["c: dog", "d: cow"])
    for caption, wanted in {
        "a: cat": "trained on",
        " A:  CAT": "trained on",
        "without a style": "trained on",
        "b: red: fish": "never seen together",
        "c: dog": "never seen together, held out",
        "d: cat": "style never seen",
        "d: cow": "style never seen",
        "a: cow": "concept never seen",
        "cat": "never seen",
    }.items():
        assert told(caption) == wanted, caption
    assert {told(each) for each in new_pairs(TRAINING, ["c: dog"], 1)} == {"never seen together"}


def test_the_captions_of_a_folder(tmp_path):
    rows = []
    for number, caption in enumerate(TRAINING * 12):  # some of them are held out
        Image.new("RGB", (8, 8), (number, 0, 9)).save(tmp_path / f"{number}.png")
        rows.append(json.dumps({"file_name": f"{number}.png", "text": caption}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))

    def told(*arguments):
        done = CliRunner().invoke(
            cli, ["data", "captions", f"{tmp_path}", "--size", "8", *arguments]
        )
        assert done.exit_code == 0, done.output
        return done.output

    every = told("--split", "train").splitlines()
    assert set(every) == set(TRAINING)
    assert told("--new", "-n", "2").splitlines() == ["b: red: fish", "c: dog"]
    assert json.loads(told("--split", "train", "-n", "2", "--json")) == [
        every[0],
        every[len(every) // 2],
    ]
