"""What a section of the demo is, and where its models and pictures come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

    from zoo.hub import Found
    from zoo.images import Images

PICTURES = Path(__file__).parent.parent / "demo_data"
COLUMNS, SIDE = 4, 256  # pictures in a row of the sheet, and about how wide they are


@dataclass(frozen=True)
class Section:
    """What one family shows.

    Attributes:
        title: a line about what was done.
        rows: dataclasses of numbers, for scripts.
        table: the same, laid out for people.
        sheet: pictures with their labels, `title` over them.
        hint: what would make it show more, if anything would.
    """

    title: str
    rows: list[Any]
    table: str
    sheet: Image.Image
    hint: str = ""


@dataclass(frozen=True)
class Missing:
    """A section that could not be shown for want of a library or a model, and which."""

    hint: str


def embedded(family: str = "*") -> list[Found]:
    """Models that come with the package, in their newest version, by name."""
    from zoo import hub

    return [each for each in hub.cards(family=family) if each.source == "embedded"]


def shown(names: tuple[str, ...]) -> list[str]:
    """Those of `names` that come with the package, in that order."""
    here = {each.card.name for each in embedded()}
    return [name for name in names if name in here]


def pictures(kind: str) -> tuple[list[str], list[Path]]:
    """Names and files of the pictures of a kind ("icon", "photo", "sketch"). Raises DataError."""
    files = sorted(PICTURES.glob(f"{kind}-*.webp"))
    if not files:
        raise DataError(f"{PICTURES} holds no {kind}-*.webp: this installation is not whole.")
    return [file.stem.removeprefix(f"{kind}-").replace("-", " ") for file in files], files


def rows_of(kind: str) -> Iterator[tuple[list[str], list[Images]]]:
    """Names and pictures of a kind, as many as fit a row of the sheet at a time."""
    from zoo.images import Images

    names, files = pictures(kind)
    for start in range(0, len(files), COLUMNS):
        row = slice(start, start + COLUMNS)
        yield names[row], [Images.read(file, 3) for file in files[row]]
