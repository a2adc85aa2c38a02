"""A model to a folder laid out like a hub repository: card, weights, the card's other files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import weights
from zoo.card import ADAPTER, README, WEIGHTS, Card, File
from zoo.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.model import Model


def save(
    model: Model,
    folder: Path,
    changes: Mapping[str, Any],
    state: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write `model` to `folder`; `changes` are fields of its card (name, version, license, ...).

    Files of its card that are not weights are copied along. Each file appears whole or not at all,
    the card last, so that a folder with a card is complete. Weights are stored in the type they
    have, or as `state` holds them (a half that was loaded as float32).
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, facts in model.card.files.items():
        if (
            name in (WEIGHTS, ADAPTER)
            or model.folder is None
            or (model.folder / name).resolve() == (folder / name).resolve()
        ):
            continue
        weights.verify(model.folder / name, facts.sha256, facts.size)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model.folder / name, folder / name)
    files = {
        name: facts
        for name, facts in model.card.files.items()
        if name not in (WEIGHTS, ADAPTER) and model.folder is not None
    }
    state = model.net.state_dict() if state is None else state
    if any(name.endswith(".rows") and f"{name[:-4]}weight" in state for name in state):
        raise WeightsError(
            f"{model.card.title} has learned words, which its config does not know: keep their adapter beside it."
        )
    if state:
        weights.save(folder / WEIGHTS, state)
        files = {WEIGHTS: described(folder / WEIGHTS), **files}
    card = replace(model.card, adapter=None)  # what was put on is in the weights now
    write_card(replace(card, files=files, **changes), folder)
    return folder


def described(path: Path) -> File:
    """A file's facts for its card."""
    return File(weights.sha256_of(path), path.stat().st_size)


def write_card(card: Card, folder: Path) -> None:
    """Write a card as the folder's README.md, all or nothing."""
    unfinished = folder / f".{README}"
    unfinished.write_text(card.text(), encoding="utf-8")
    unfinished.replace(folder / README)
