"""From one hub to another: the same bytes under the same versions, so that locks hold on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from zoo.card import README, reference
from zoo.errors import HubError, UnknownModel, listed
from zoo.hub.address import Address, addresses, is_address, is_repository
from zoo.hub.pulling import Pulled, card_text, pull_commit
from zoo.hub.remote import LATEST, YANKED, Version, move, versions
from zoo.hub.signatures import FILE
from zoo.sharing import folders
from zoo.sharing.checking import refuse_unfit
from zoo.sharing.pushing import Parcel, deliver, target


@dataclass(frozen=True)
class Mirrored:
    """One version: where it is now, and whether it was there before."""

    where: str
    version: str
    copied: bool


def mirror(name: str, to: str, only: Sequence[str] = ()) -> list[Mirrored]:
    """Copy the versions of a repository, oldest first, with its parts, to another hub or a folder.

    name  org/repo, hf:org/repo, http://host/org/repo; with @VERSION, that one alone
    to    a repository of another hub, or a folder of models
    only  these versions; all if none is named

    A version that is there with the same card is left; with another it is refused.
    Raises as pulling and pushing do.
    """
    source, revision = reference(name)
    found, every = _first(source)
    wanted = [revision] if revision else list(only) or list(every)
    unknown = [each for each in wanted if each not in every]
    if unknown:
        raise HubError(f"{source} has no version {listed(unknown)}. It has: {listed(every)}.")
    if not (is_address(to) or is_repository(to)):
        return [_shelve(_taken(found, every[each]), Path(to)) for each in reversed(wanted)]
    done: list[Mirrored] = []
    for each in reversed([version for version in every if version in wanted]):
        done += _copied(_taken(found, every[each]), every[each], target(to))
    return done


def _first(source: str) -> tuple[Address, dict[str, Version]]:
    absent = []
    for address in addresses(source):
        try:
            every = versions(address)
        except UnknownModel as error:
            absent.append(str(error))
            continue
        if not every:
            raise HubError(f"{address} has no versions, so there is nothing to mirror.")
        return address, every
    raise UnknownModel(" ".join(absent))


def _taken(address: Address, version: Version) -> Pulled:
    return pull_commit(address.at(version.version), version.commit)


def _parcel(pulled: Pulled) -> Parcel:
    refuse_unfit(pulled.card, pulled.folder)
    envelope = pulled.folder / FILE
    text = (pulled.folder / README).read_bytes()
    return Parcel(
        pulled.card, text, pulled.folder, envelope.read_bytes() if envelope.exists() else None
    )


def _copied(pulled: Pulled, version: Version, to: Address) -> list[Mirrored]:
    """One version and, before it, its parts."""
    done: list[Mirrored] = []
    organisation = to.repository.partition("/")[0]
    home = pulled.origin.repository.partition("/")[0]
    for part in pulled.card.needs.values():
        name, number = reference(part)
        beside = replace(pulled.origin.address, repository=f"{home}/{name}", revision=number)
        try:
            every = versions(beside)
        except UnknownModel:
            continue  # a part that ships with the package; pulling has looked for it
        of_part = every[str(number)]
        there = replace(to, repository=f"{organisation}/{name}")
        done += _copied(_taken(beside, of_part), of_part, there)
    try:
        present = versions(to)
    except UnknownModel:
        present = {}
    here = present.get(version.version)
    if here is not None:
        digest = sha256(card_text(to, here.commit)).hexdigest()
        if digest != pulled.origin.card_sha256:
            raise HubError(
                f"{to} has another version {version.version} than {pulled.origin}: the cards' sha256 are "
                f"{digest} and {pulled.origin.card_sha256}. A version never changes: one of them needs "
                "another name."
            )
        return [*done, Mirrored(str(to.at(version.version)), version.version, False)]
    pushed = deliver(_parcel(pulled), to)
    if version.yanked:
        move(to, YANKED + version.version, str(pushed.commit))
    if version.latest and not pushed.latest:
        move(to, LATEST, str(pushed.commit))
    return [*done, Mirrored(pushed.where, version.version, True)]


def _shelve(pulled: Pulled, root: Path) -> Mirrored:
    place = root.expanduser() / pulled.card.title
    if place.exists():
        if (place / README).read_bytes() != (pulled.folder / README).read_bytes():
            raise HubError(f"{place} is another {pulled.card.title} than {pulled.origin}.")
        return Mirrored(str(place), pulled.card.version, False)
    return Mirrored(
        folders.push(_parcel(pulled), root.expanduser()).where, pulled.card.version, True
    )
