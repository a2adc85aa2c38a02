"""From a name to a card and a folder with its files.

A name is one of
    vqgan-f16, vqgan-f16@1.0.0     a model of the folders in ZOO_PATH, the embedded folder, or those
                                   saved in the store, in that order
    org/repo, org/repo@1.0.0       a repository: what was pulled of it, then the hubs of ZOO_HUBS
    hf:org/repo, hf:org/repo@rev   a repository of one hub (see `zoo.hub.address`)
    a folder                       laid out like a hub repository: README.md (the card) and its files
A pulled model answers to its repository's name alone, so nobody's repository can stand in for a
model that ships with the package. A stranger's checkpoint file or folder is no model yet:
`zoo.convert` makes it one.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from zoo.card import README, Card, reference, version_key
from zoo.errors import (
    CardError,
    HubError,
    UnknownModel,
    UnknownVersion,
    ZooError,
    listed,
    nearest,
)
from zoo.hub import embedded
from zoo.hub.address import is_address, is_repository
from zoo.hub.home import extra
from zoo.hub.home import models as models
from zoo.hub.store import Origin, card_of, kept

_CARD = re.compile(rb"^zoo:", re.MULTILINE)  # a README with our block is a card, even a broken one


@dataclass(frozen=True)
class Found:
    """A model that was found: its card, the folder with its files, and where that came from."""

    card: Card
    folder: Path
    source: str  # "embedded", "store", "ZOO_PATH", "folder" or "hf:org/repo@revision"
    origin: Origin | None = None  # of one that was pulled

    @property
    def name(self) -> str:
        """What it is called, without its version: the card's name, or org/repo."""
        return self.origin.repository if self.origin else self.card.name


def resolve(name: str | os.PathLike[str], version: str | None = None) -> Found:
    """Find a model by name, hub repository or folder.

    Its files are on this machine afterwards, not yet verified.

    Raises UnknownModel or UnknownVersion saying what exists, CardError, HubError.
    """
    text = os.fspath(name)
    by_name = not isinstance(name, os.PathLike)
    if by_name and (is_address(text) or is_repository(text)):
        from zoo.hub.pulling import find

        found_there = find(text, version)
        return _pulled(found_there.card, found_there.folder, found_there.origin)
    if is_path(text) or not by_name:
        return _folder(Path(text).expanduser(), version)
    wanted, given = reference(text)
    if version and given and version != given:
        raise UnknownVersion(
            f"{text} was asked for with version={version!r}: two versions. Give one."
        )
    version = version or given
    broken: list[CardError] = []
    found = [each for each in installed(broken) if each.card.name == wanted]
    if not found:
        names = {each.card.name for each in installed([])}
        here = f" A file of that name is here: write ./{text}." if Path(text).exists() else ""
        torn = "".join(f" Unreadable: {each}" for each in broken)
        raise UnknownModel(
            f"There is no model {wanted!r}.{nearest(wanted, names)}{here} Known here: "
            f"{listed(names)}. A repository is named org/repo or hf:org/repo, a folder by a path with "
            f"a slash.{torn}"
        )
    if version is None:
        return newest(found)
    for each in found:
        if each.card.version == version:
            return each
    versions = [each.card.version for each in found]
    raise UnknownVersion(
        f"{wanted} has no version {version!r}.{nearest(version, versions)} Versions here: "
        f"{listed(versions)}."
    )


def newest(found: list[Found]) -> Found:
    """The newest release among versions of one model; the first hub wins.

    A pre-release only if there is nothing else.
    """
    return max(
        found,
        key=lambda each: ("-" not in each.card.version, version_key(each.card.version)),
    )


def installed(broken: list[CardError] | None = None) -> Iterator[Found]:
    """All models on this machine, in the order in which hubs are asked.

    A card that cannot be read is appended to `broken`, or warned of where that is not given.
    """
    places: list[tuple[Path | None, str]] = [(folder, "ZOO_PATH") for folder in extra()]
    places += [(embedded.root(), "embedded"), (models(), "store")]
    for root, source in places:
        for folder in sorted(root.iterdir()) if root is not None and root.is_dir() else ():
            if folder.name.startswith(".") or not (folder / README).is_file():
                continue
            try:
                yield Found(Card.read(folder), folder, source)
            except CardError as error:
                if broken is None:
                    warnings.warn(f"A model was left out: {error}", stacklevel=2)
                else:
                    broken.append(error)


def pulled(broken: list[ZooError] | None = None) -> Iterator[Found]:
    """All models that were pulled from hubs, in whichever store they lie.

    What cannot be read is appended to `broken`, or warned of where that is not given.
    """
    for folder, origin in kept():
        try:
            if not isinstance(origin, Origin):
                raise origin
            yield _pulled(card_of(folder, origin), folder, origin)
        except (CardError, HubError) as error:
            if broken is None:
                warnings.warn(f"A model was left out: {error}", stacklevel=2)
            else:
                broken.append(error)


def _pulled(card: Card, folder: Path, origin: Origin) -> Found:
    return Found(card, folder, str(origin), origin)


def names(
    pattern: str = "*",
    *,
    family: str | None = None,
    license: str | None = None,
    task: str | None = None,
    max_bytes: int | None = None,
) -> list[str]:
    """Names of the models on this machine, sorted; all conditions must hold.

    Needs no network and no torch.

    `pattern` and the texts may hold wildcards (`vqgan*`); `task` is a pipeline tag of the hub
    ("text-to-image"), `max_bytes` the size of all files together.
    """
    return sorted({each.name for each in cards(pattern, family, license, task, max_bytes)})


def cards(
    pattern: str = "*",
    family: str | None = None,
    license: str | None = None,
    task: str | None = None,
    max_bytes: int | None = None,
) -> list[Found]:
    """What `names` names: one model each, in its newest version, sorted by name."""
    versions: dict[str, list[Found]] = {}
    for each in (*installed(), *pulled()):
        versions.setdefault(each.name, []).append(each)
    chosen = [newest(versions[name]) for name in sorted(versions)]
    wanted = [(family, "family"), (license, "license"), (task, "pipeline_tag")]
    return [
        each
        for each in chosen
        if fnmatchcase(each.name, pattern)
        and all(
            mask is None or fnmatchcase(getattr(each.card, key) or "", mask) for mask, key in wanted
        )
        and (max_bytes is None or each.card.bytes <= max_bytes)
    ]


def show(name: str | os.PathLike[str], version: str | None = None) -> Card:
    """The card of a model. Raises as `resolve` does."""
    return resolve(name, version).card


def is_path(text: str) -> bool:
    """Whether a name is meant as a path: it has a separator, or begins with "." or "~"."""
    return (
        text.startswith((".", "~"))
        or os.sep in text
        or (os.altsep is not None and os.altsep in text)
    )


def is_foreign(name: str | os.PathLike[str]) -> bool:
    """Whether a name is the path of a stranger's checkpoint: a file, or a folder without a card."""
    text = os.fspath(name)
    by_name = not isinstance(name, os.PathLike)
    if by_name and (not is_path(text) or is_address(text) or is_repository(text)):
        return False
    path = Path(text).expanduser()
    if path.is_dir():
        readme = path / README
        return any(path.iterdir()) and not (readme.is_file() and _CARD.search(readme.read_bytes()))
    return path.is_file()


def _folder(folder: Path, version: str | None) -> Found:
    if not folder.exists():
        parent = folder.parent
        beside = [each.name for each in parent.iterdir()] if parent.is_dir() else []
        hint = nearest(folder.name, beside) or (
            "" if beside else f" The folder {parent} does not exist either."
        )
        raise UnknownModel(
            f"{folder} does not exist.{hint} A repository is named org/repo or hf:org/repo."
        )
    if not (folder / README).is_file():
        raise UnknownModel(f"{folder} holds no {README}, so it is no folder of a model.")
    card = Card.read(folder)
    if version is not None and card.version != version:
        raise UnknownVersion(f"{folder} holds {card.title}, not version {version}.")
    return Found(card, folder, "folder")
