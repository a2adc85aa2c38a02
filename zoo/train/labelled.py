"""Labels of pictures to fine-tune on: a set's own numbers, or the folder in which each picture of a folder lies.

my-fruit/apple/1.png, my-fruit/pear/2.png        the labels apple, pear: 0 and 1, in the order of their names
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.data.folder import PictureFolder
from zoo.errors import DataError, listed

if TYPE_CHECKING:
    from zoo.card import Card
    from zoo.train.few import Some


def folder_of(name: str) -> str:
    """The folder that a picture lies in, "apple" of "apple/red/1.png"; none: ""."""
    return name.partition("/")[0] if "/" in name else ""


def named(*parts: Some) -> tuple[str, ...]:
    """What the labels of the pictures of a set are called, by number; () where they have none.

    Raises DataError where only some have one.
    """
    facts = [each for part in parts for each in _facts(part)]
    odd = [name for name, said in facts if said is None]
    if len(odd) == len(facts):
        return ()
    if odd:
        raise DataError(
            f"{parts[0].name}: {len(odd)} of {len(facts)} pictures have no label: {listed(odd[:3])}. Put each picture "
            "into the folder of its label, or none into any."
        )
    folders = sorted({said for _, said in facts if isinstance(said, str)})
    if folders:
        return tuple(folders)
    most = max(said for _, said in facts if isinstance(said, int))
    told = tuple(map(str, getattr(parts[0].pictures, "about", {}).get("labels", ())))
    return told if len(told) > most else tuple(map(str, range(most + 1)))


def agreed(card: Card, known: Sequence[str], found: Sequence[str], part: Some) -> tuple[str, ...]:
    """The labels of a model, by number, of which `found` are some; `known` is what they are called, if that is known.

    Raises DataError, with both sides, for pictures of labels that the model does not have.
    """
    count = card.config["classes"]
    names = tuple(known) or tuple(map(str, range(count)))
    by_folder = any(isinstance(said, str) for _, said in _facts(part))
    if set(found) <= set(names) if by_folder else len(found) <= count:
        return names
    raise DataError(
        f"{card.title} has {count} labels ({listed(names)}), {part.name} has {len(found)} ({listed(found)}). Make it "
        "one of these with --method head."
    )


def lacking(part: Some, labels: Sequence[str]) -> list[str]:
    """The labels of which there is no picture."""
    said = {label for _, label in _facts(part)}
    return [each for n, each in enumerate(labels) if not said & {n, each}]


def _facts(part: Some) -> list[tuple[str, int | str | None]]:
    """Of each picture its name, and its label or its folder, without opening one."""
    pictures = part.pictures
    if not isinstance(pictures, PictureFolder):
        every = [pictures.facts[place] for place in part.places]
        return [(str(each["name"]), each.get("label")) for each in every]
    found: list[tuple[str, int | str | None]] = []
    for entry in (pictures.entries[place] for place in part.places):
        label = pictures.facts.get(entry.name, {}).get("label")
        if label is None and entry.path.suffix != ".tar":
            label = folder_of(entry.name) or None
        found.append((entry.name, label))
    return found
