"""A case's model, adopted as a user's file would be."""

from __future__ import annotations

from zoo.foreign_models import load_foreign
from zoo.model import Model
from zoo.parity import Case
from zoo_dalle import layouts


def recognises(case: Case, layout: str) -> bool:
    """Whether the case's weights file is of this layout."""
    if len(case.files) != 1:
        return False
    foreign = case.checkpoint()
    adoption = layouts.adopt(foreign.keys, foreign.config)
    return adoption is not None and adoption.layout == layout


def adopted(case: Case) -> Model:
    """The model and its parts, float32; every tensor is placed, or dropped by name."""
    return load_foreign(case.checkpoint().path)
