"""Locks: write down what models are, and get the same again or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from zoo import hub, weights
from zoo.card import README, reference
from zoo.errors import HubError, UnknownModel, WeightsError, ZooError
from zoo.hub import locks
from zoo.hub.address import Address, addresses, is_address, is_repository
from zoo.hub.offline import offline
from zoo.hub.pulling import pull, pull_entry
from zoo.hub.remote import settled


@dataclass(frozen=True)
class Verdict:
    """A locked model: the folder it was found in, or why it is not what was locked."""

    title: str
    folder: str | None
    error: str | None


def lock(names: Sequence[str], path: Path, update: bool = False) -> list[locks.Entry]:
    """Add models to a lock file, or replace them there; its entries.

    names   as `zoo.load` takes them; with none, those that are in the file
    update  look on the hub for the newest version of those that were asked for without one

    Raises as `zoo.load` and `locks.read` do.
    """
    there = {each.name: each for each in locks.read(path)} if path.exists() else {}
    for name in names or [_asked(each) for each in there.values()]:
        for each in _entries(name, update):
            there[each.name] = each
    if not there:
        raise HubError("Nothing to lock: name models, as `zoo lock vqgan-f16 hf:ORG/REPO@1.0.0`.")
    locks.write(path, there.values())
    return list(there.values())


def _asked(entry: locks.Entry) -> str:
    if entry.origin is None:
        return entry.name
    return str(entry.origin.address.at(entry.origin.asked))


def with_parts(name: str, update: bool = False) -> list[hub.Found]:
    """A model and, after it, its parts, fetched if need be. Raises as `zoo.load` does."""
    if update and (is_address(name) or is_repository(name)):
        pull(name)
    found = hub.resolve(name)
    parts = [_part(part, found) for part in found.card.needs.values()]
    return [found, *(each for part in parts for each in with_parts(part))]


def _entries(name: str, update: bool) -> list[locks.Entry]:
    """A model's entry, then those of its parts."""
    asked = addresses(name)[0].revision if is_address(name) or is_repository(name) else None
    made: list[locks.Entry] = []
    for found in with_parts(name, update):
        if found.source == "folder":
            raise HubError(f"{name} is a folder of yours, which no lock can hold: push it first.")
        digest = sha256((found.folder / README).read_bytes()).hexdigest()
        revision = found.origin.version if made and found.origin else asked
        origin = replace(found.origin, asked=revision) if found.origin else None
        made.append(locks.entry(found.card, digest, origin))
    return made


def _part(part: str, of: hub.Found) -> str:
    """How a part of a model is asked for: beside it where it was pulled from, or by name."""
    if of.origin is None:
        return part
    name, version = reference(part)
    organisation = of.origin.repository.partition("/")[0]
    beside = Address(of.origin.endpoint, f"{organisation}/{name}", version)
    if any((of.folder.parent / f"{name}@{version}").glob(README)):
        return str(beside)
    return part


def pull_locked(path: Path) -> list[Verdict]:
    """Fetch every model of a lock file, the same byte for byte. Raises HubError for drift."""
    rows = []
    for each in locks.read(path):
        if each.origin is None:
            found = hub.resolve(each.title)
            folder, card = found.folder, found.card
        else:
            pulled = pull_entry(each)
            folder, card = pulled.folder, pulled.card
        digest = sha256((folder / README).read_bytes()).hexdigest()
        if digest != each.card_sha256 or dict(card.files) != dict(each.files):
            raise HubError(
                f"{each.title} drifted: locked is a card of sha256 {each.card_sha256}, {folder} has "
                f"{digest}. `zoo lock {each.name}` takes what is there now."
            )
        rows.append(Verdict(each.title, str(folder), None))
    return rows


def check(path: Path) -> list[Verdict]:
    """Hold what a lock file says against the bytes here and, unless offline, against the hubs."""
    rows = []
    for each in locks.read(path):
        try:
            folder = _still(each)
        except (ZooError, OSError) as error:
            rows.append(Verdict(each.title, None, str(error)))
        else:
            rows.append(Verdict(each.title, str(folder) if folder else None, None))
    return rows


def _still(entry: locks.Entry) -> Path | None:
    """The folder of a locked model if it is here; raises where anything differs."""
    origin, folder = entry.origin, None
    if origin is None:
        folder = hub.resolve(entry.title).folder
    else:
        for each in hub.pulled([]):
            if each.origin and each.origin.card_sha256 == origin.card_sha256:
                folder = each.folder
        if not offline():
            asked = origin.address.at(origin.version or origin.commit)
            _, commit = settled(asked)
            if commit != origin.commit:
                raise HubError(f"{asked} is commit {commit} now, locked is {origin.commit}.")
        elif folder is None:
            raise UnknownModel(f"{entry.title} is not here, and {offline()} forbids the network.")
    if folder is None:
        return None
    digest = sha256((folder / README).read_bytes()).hexdigest()
    if digest != entry.card_sha256:
        raise WeightsError(
            f"{folder}: the card's sha256 is {digest}, locked is {entry.card_sha256}."
        )
    for path, facts in entry.files.items():
        weights.verify(folder / path, facts.sha256, facts.size)
    return folder
