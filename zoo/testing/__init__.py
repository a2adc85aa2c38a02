"""The contract of `zoo.hookspecs` as checks, for own and strangers' plugins.

A whole test file is:

    import pytest
    from zoo.testing import CHECKS, Subject

    SUBJECT = Subject("pixelgauss", {"classes": 3, "shape": [3, 8, 8]}, image=(3, 8, 8), ...)

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(SUBJECT)

Use a config so small that a sample takes a moment. A check of a hook that the family leaves out is
skipped; declare `hooks` in the subject, and a hook that went missing fails instead. A model that
is there is a subject by itself: `Subject.of(zoo.load(FOLDER))`. `zoo.testing.report` tries all at once.
"""

from __future__ import annotations

from collections.abc import Callable

from zoo.testing import building, coding, sampling
from zoo.testing.cards import card_keeps_its_word as card_keeps_its_word
from zoo.testing.subject import Subject as Subject

CHECKS: tuple[Callable[[Subject], None], ...] = (
    *building.CHECKS,
    *sampling.CHECKS,
    *coding.CHECKS,
)
