"""Versions that nobody should begin to use: still there for those who did."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.card import reference
from zoo.errors import HubError, UnknownVersion, listed, nearest
from zoo.hub.remote import LATEST, YANKED, api, move, told, versions
from zoo.sharing.pushing import target


@dataclass(frozen=True)
class Yanked:
    """What became of a version."""

    where: str
    yanked: bool
    latest: str | None  # the version where `latest` stands now


def yank(name: str, undo: bool = False) -> Yanked:
    """Mark a version as one not to begin with, or take the mark away.

    name  org/repo@VERSION on one hub

    It stays where it is and loads wherever it is named; who names none gets another, and `latest`
    moves to the newest release that is left. Raises UnknownVersion, UnknownModel, HubError.
    """
    text, version = reference(name)
    if version is None:
        raise HubError(
            f"{name}: which version? `zoo yank {name}@VERSION`; `zoo versions {name}` lists them."
        )
    address = target(text)
    every = versions(address)
    if version not in every:
        raise UnknownVersion(
            f"{address} has no version {version!r}.{nearest(version, every)} It has: {listed(every)}."
        )
    if undo and every[version].yanked:
        with told(address):
            api(address).delete_tag(address.repository, tag=YANKED + version)
    elif not undo:
        move(address, YANKED + version, every[version].commit)
    left = [
        each for each in versions(address).values() if not each.yanked and "-" not in each.version
    ]
    latest = next((each.version for each in left if each.latest), None)
    if latest is None and left:
        move(address, LATEST, left[0].commit)
        latest = left[0].version
    return Yanked(str(address.at(version)), not undo, latest)
