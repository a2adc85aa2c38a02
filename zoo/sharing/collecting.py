"""What the store no longer needs: models that are named, files of no model, downloads of the dead."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.card import Card
from zoo.errors import CardError, HubError, UnknownModel, listed, nearest
from zoo.hub.address import addresses, is_address
from zoo.hub.download import unused
from zoo.hub.home import home
from zoo.hub.partial import OLD, partials, sweep
from zoo.hub.store import Origin, card_of, kept

GRACE = 3600.0  # seconds for which a file of no model may be one that is being pulled


@dataclass(frozen=True)
class Collected:
    """What was deleted, or would be."""

    models: list[str]
    files: int
    bytes: int


def collect(forget: Sequence[str] = (), grace: float = GRACE, dry: bool = False) -> Collected:
    """Delete models by name (org/repo@version, or org/repo for all), then what no model uses.

    A file with a second name is used, whatever the cards say. Raises UnknownModel, HubError.
    """
    there = [(folder, each) for folder, each in kept() if home() in folder.parents]
    known = {
        f"{each.repository}@{each.version or each.commit[:12]}"
        for _, each in there
        if isinstance(each, Origin)
    }
    gone = []
    for name in forget:
        found = [
            (folder, each)
            for folder, each in there
            if isinstance(each, Origin) and _means(name, each)
        ]
        if not found:
            raise UnknownModel(
                f"No pulled model is called {name!r}.{nearest(name, known)} There are: {listed(known)}."
            )
        gone += found
    freed = {digest for folder, _ in gone for digest in _digests(folder)}
    named = _names_of([folder for folder, _ in gone]) if dry else {}
    if not dry:
        for folder, _ in gone:
            _remove(folder)
    doomed = {folder for folder, _ in gone}
    used: set[str] = set()
    for folder, each in there:
        if folder in doomed or not isinstance(each, Origin):
            continue
        try:
            used |= {facts.sha256 for facts in card_of(folder, each).files.values()}
        except (CardError, HubError):
            continue  # damaged: its files have second names, which keep them
    files = []
    for path in unused(lambda digest: digest in used):
        facts = path.stat()
        old = time.time() - facts.st_mtime > grace or path.name in freed
        if old and facts.st_nlink - named.get(facts.st_ino, 0) <= 1:
            files.append(path)
    size = sum(path.stat().st_size for path in files)
    if not dry:
        for path in files:
            path.unlink(missing_ok=True)
        size += sweep(lambda digest: True)
        for each_folder in partials().glob("model-*"):
            if time.time() - each_folder.stat().st_mtime > OLD:
                _remove(each_folder)
    return Collected(sorted({str(each) for _, each in gone}), len(files), size)


def _means(name: str, origin: Origin) -> bool:
    """Whether a model is what a name says: as it is listed, or as it was asked for."""
    title = f"{origin.repository}@{origin.version or origin.commit[:12]}"
    if name in (str(origin), origin.repository, title):
        return True
    if not is_address(name):
        return False
    (one,) = addresses(name)
    same = (one.endpoint, one.repository) == (origin.endpoint, origin.repository)
    return same and one.revision in (None, origin.version, origin.commit)


def _digests(folder: Path) -> set[str]:
    """What the card of a folder names; nothing if it cannot be read any more."""
    try:
        return {facts.sha256 for facts in Card.read(folder).files.values()}
    except CardError:
        return set()


def _names_of(folders: list[Path]) -> dict[int, int]:
    """How many names of each file lie in some folders, by the file's number."""
    counted: dict[int, int] = {}
    for folder in folders:
        for path in folder.rglob("*"):
            counted[path.stat().st_ino] = counted.get(path.stat().st_ino, 0) + 1
    return counted


def _remove(folder: Path) -> None:
    """Delete a folder, out of sight first, so that nobody finds a half of it."""
    away = partials() / f"model-gone-{time.time_ns()}"
    try:
        away.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(away)
        shutil.rmtree(away)
    except OSError as error:
        raise HubError(f"{folder} could not be deleted: {error}.") from error
