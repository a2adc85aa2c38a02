"""The contract of genzoo's hooks, and the card. Add what is true of this family alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from zoo.testing import CHECKS, Subject, card_keeps_its_word

FOLDER = Path(__file__).parent.parent / "models" / "newname-tiny"


@pytest.fixture(scope="module")
def subject() -> Subject:
    """The tiny model, and what it is tried with."""
    return Subject.of(zoo.load(FOLDER), recipe={}, tolerance=1e-3)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Subject], None], subject: Subject) -> None:
    check(subject)


def test_card() -> None:
    card_keeps_its_word(zoo.show(FOLDER))
    assert zoo.verify(FOLDER)
