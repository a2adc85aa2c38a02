"""Every embedded model: its card reads, keeps its word, and its files are what it says."""

import pytest

from zoo import hub, weights
from zoo.card import WEIGHTS, Card
from zoo.testing import card_keeps_its_word

ROOT = hub.embedded.root()
FOLDERS = sorted(each for each in ROOT.iterdir() if each.is_dir()) if ROOT else []


def test_no_embedded_model_is_left_out():
    assert ROOT is not None
    broken = []
    found = [each for each in hub.installed(broken) if each.source == "embedded"]
    assert broken == []
    assert [each.folder for each in found] == FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_embedded_card_is_complete(folder):
    card = Card.read(folder)
    assert card.name == folder.name
    assert card.metrics
    assert card.training is not None
    assert card.training.data
    assert card.training.recipe in card.files
    assert Card.parse(card.text()) == card
    card_keeps_its_word(card)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_embedded_files_are_what_the_card_says(folder):
    card = Card.read(folder)
    assert WEIGHTS in card.files
    for name, facts in card.files.items():
        weights.verify(folder / name, facts.sha256, facts.size)
    present = {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}
    assert present == {*card.files, "README.md"}
