"""A few pictures to fine-tune on: which are held out, what their captions are, and pictures to be kept by heart.

What a model knew is kept by its own pictures of it: half of those that are trained on are then drawn by the base
before training (prior preservation; Ruiz et al., 2022, arXiv:2208.12242, equation 2 with lambda = 1).
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from zoo import hub
from zoo.data import Binarised, open_set
from zoo.data.storage import is_built
from zoo.errors import DataError, RequestError, listed
from zoo.train.labelled import agreed, folder_of, lacking, named
from zoo.train.recipe import Recipe

if TYPE_CHECKING:
    from zoo.card import Card
    from zoo.hub import Found
    from zoo.model import Model

EVERY = 8  # of so many pictures one is held out
DRAWN = 4  # pictures that the base draws at once


class Some:
    """Some pictures of a set, in colour or grey; one without a caption has its file's name for one.

    `caption` is another caption for all of them, in which {} stands for their own; `labels` are the names of the
    folders that they lie in, if these are their labels.
    """

    def __init__(
        self,
        pictures: Any,
        places: Sequence[int],
        channels: int,
        caption: str | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        self.pictures, self.places, self.channels = pictures, list(places), channels
        self.caption, self.labels = caption, list(labels)
        self.name, self.licences = pictures.name, tuple(getattr(pictures, "licences", ()))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = dict(self.pictures[self.places[index]])
        if self.channels == 1 and len(item["image"]) == 3:
            red, green, blue = item["image"].float()  # (H, W) each
            item["image"] = (0.299 * red + 0.587 * green + 0.114 * blue).round().byte()[None]
        if not item.get("caption"):
            item["caption"] = re.sub(r"[\s_-]+", " ", PurePosixPath(item["name"]).stem).strip()
        if self.labels and item.get("label") is None:
            item["label"] = self.labels.index(folder_of(item["name"]))
        if self.caption is not None:
            item["caption"] = self.caption.replace("{}", item["caption"])
        return item


class Half:
    """Pictures by turns of two sets: as many of the one as of the other, whatever their sizes."""

    def __init__(self, one: Any, other: Any) -> None:
        self.both = (one, other)
        self.name, self.licences = one.name, one.licences

    def __len__(self) -> int:
        return 2 * max(map(len, self.both))

    def __getitem__(self, index: int) -> dict[str, Any]:
        of = self.both[index % 2]
        item: dict[str, Any] = of[index // 2 % len(of)]
        return item


def base_of(recipe: Recipe) -> Found:
    """The model that a fine-tuning begins with; a ControlNet's is its part."""
    return hub.resolve(recipe.model.from_ or recipe.model.parts["base"])


def parted(recipe: Recipe) -> tuple[Some, Any]:
    """The pictures to train on, and those held out: a built set's own test split, else every eighth.

    What cannot be read is left out, and warned of by name; so are those that [tune] `without` names, silently.
    Raises DataError for fewer than two, or for a model of pictures that are neither grey nor RGB.
    """
    card = base_of(recipe).card
    if card.image[0] not in (1, 3):
        raise DataError(f"{card.title} has {card.image[0]} channels; pictures have 1 or 3.")
    sets = _opened(recipe.data.name, card.image[-1])
    places: list[list[int]] = [list(range(len(each))) for each in sets]
    without = set(recipe.tune.without)
    if without:
        places = [
            [n for n in which if each[n]["name"] not in without]
            for each, which in zip(sets, places, strict=True)
        ]
    if len(sets) == 1:
        if len(places[0]) < 2:
            raise DataError(
                f"{sets[0].name} holds {len(places[0])} picture: give two or more, one is held out."
            )
        every = places[0]
        sets, places = sets * 2, [[n for i, n in enumerate(every) if i % EVERY], every[::EVERY]]
    caption = recipe.tune.caption or recipe.tune.word or None
    rest, held = (
        Some(each, which, card.image[0], caption, recipe.tune.labels)
        for each, which in zip(sets, places, strict=True)
    )
    return rest, Binarised(held, recipe.train.seed) if recipe.data.binarise else held


def labels_given(recipe: Recipe) -> tuple[str, ...]:
    """What the labels of the pictures are called, for a model that has labels; () if it or they have none.

    With "head" they are the pictures' own, which become the model's; else the model's own. Raises DataError for labels
    that the model does not have, and for a head where a label is not there to be trained.
    """
    from zoo.evaluate.classifier import names_of

    card, tune = base_of(recipe).card, recipe.tune
    if not card.config.get("classes") or not recipe.model.from_:
        return ()
    rest, held = (getattr(each, "dataset", each) for each in parted(recipe))
    found = named(rest, held)
    if tune.method != "head":
        return agreed(card, names_of(card), found, rest) if found else ()
    if not found:
        raise DataError(
            f"{card.title} has {card.config['classes']} labels and the pictures of {rest.name} have none, so there is "
            "no head to make: put each picture into the folder of its label, or take another method."
        )
    if lost := lacking(rest, found):
        raise DataError(
            f"{rest.name} has no picture of {listed(lost)} to train on, of the labels {listed(found)}: one in {EVERY} "
            "is held out. Give two or more of each."
        )
    return found


def reads_text(card: Card) -> bool:
    """Whether a model can be told a text."""
    return card.pipeline_tag == "text-to-image" or bool(
        {"text", "captions"} & (set(card.config) | set(card.parts))
    )


def kept_by_heart(recipe: Recipe, model: Model, folder: Path) -> Any:
    """The pictures that the base draws to remember what it knew: written to `folder` once, whole or not at all.

    Picture i depends on the recipe's seed and i alone. Of a model of labels, trained on pictures with labels, each
    label is drawn in turn, into a folder of its number. Raises Unsupported, RequestError as `sample` does, and
    RequestError for a head of other labels than the base draws.
    """
    from zoo.evaluate.classifier import names_of

    count, text, kinds = recipe.tune.prior, recipe.tune.prior_text, len(recipe.tune.labels)
    if kinds and recipe.tune.labels != (names_of(model.card) or recipe.tune.labels):
        raise RequestError(
            f"{model.card.title} draws pictures of its own labels ({listed(names_of(model.card))}), and the new head "
            f"has others ({listed(recipe.tune.labels)}): leave out --prior."
        )
    numbers = tuple(map(str, range(kinds)))
    for first in range(0, count, DRAWN):
        places = range(first, min(first + DRAWN, count))
        names = [folder / (numbers[n % kinds] if kinds else "") / f"{n:05d}.png" for n in places]
        if all(each.is_file() for each in names):
            continue
        request: dict[str, Any] = {"text": text} if text else {}
        if kinds:
            request["label"] = [n % kinds for n in places]
        asked = model.condition(**request) if request else model
        drawn = asked.sample(len(names), seed=recipe.train.seed * 100_003 + first)
        for name, picture in zip(names, drawn.tensor, strict=True):
            name.parent.mkdir(parents=True, exist_ok=True)
            unfinished = name.with_suffix(".part.png")
            type(drawn)(picture[None]).save(unfinished)
            unfinished.replace(name)
    pictures = open_set(f"{folder}{os.sep}", "all", model.card.image[-1])
    return Some(pictures, range(count), model.card.image[0], text, numbers)


def _opened(name: str, size: int) -> list[Any]:
    """One set, or two: to train on, and held out."""
    path = Path(name).expanduser()
    if path.is_dir() and not is_built(path):
        return [open_set(f"{path}{os.sep}", "all", size)]
    both = [open_set(name, split, size) for split in ("train", "test")]
    if any(hasattr(each, "tokenizer") for each in both):
        raise DataError(f"{name} holds tokens; fine-tuning takes pictures.")
    return [each for each in both if len(each)]


def unreadable(recipe: Recipe, model: Model) -> tuple[str, ...]:
    """Names of pictures whose captions `model` cannot read, which are warned of. Raises DataError if it reads none."""
    odd: dict[str, str] = {}
    rest, held = parted(recipe)
    every = [part[n] for part in (rest, held) for n in range(len(part))]
    for item in every:
        text = item["caption"]
        if recipe.tune.word:  # which it is about to learn
            text = text.replace(recipe.tune.word, recipe.tune.like)
        request = {"text": text}
        try:
            model.hooks.call("condition", net=model.net, request=request, batch=1)
        except RequestError as error:
            odd[item["name"]] = f"{item['name']} ({error})"
    if len(odd) == len(every):
        raise DataError(
            f"{rest.name}: {model.card.title} can read no caption of these pictures: {next(iter(odd.values()))}. "
            "Give all of them one that it can (--caption)."
        )
    if odd:
        warnings.warn(
            f"{rest.name}: {len(odd)} pictures are left out for their captions: {listed(list(odd.values())[:5])}.",
            stacklevel=3,
        )
    return tuple(sorted(odd))
