"""What there is: versions of a repository, repositories that match some words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import hub
from zoo.card import reference
from zoo.errors import HubError, UnknownModel, UnknownVersion, listed, nearest
from zoo.hub.address import Address, addresses, hubs, is_address, is_repository, ordered
from zoo.hub.offline import offline
from zoo.hub.remote import api, newest_first, told
from zoo.hub.remote import versions as of_repository


@dataclass(frozen=True)
class Known:
    """A version: where it is, and whether it is here too."""

    version: str
    commit: str | None
    where: str
    latest: bool = False
    yanked: bool = False
    here: bool = False


@dataclass(frozen=True)
class Match:
    """A model that was found by words."""

    name: str
    hub: str  # "here" or the hub's name
    version: str | None
    license: str | None
    task: str | None


def versions(name: str) -> list[Known]:
    """The versions of a model, newest first: of the first hub that has it, or on this machine.

    Offline, or for a name without a hub, those that are here. Raises UnknownModel, HubError.
    """
    text, revision = reference(name)
    if revision is not None:
        raise UnknownVersion(f"{name}: ask for {text} without a version.")
    if not (is_address(name) or is_repository(name)):
        return _here(name)
    asked = addresses(name)
    kept = {
        (each.origin.endpoint, each.origin.version): each.origin.commit
        for each in hub.pulled([])
        if each.origin and each.origin.repository == asked[0].repository and each.origin.version
    }
    if offline():
        wanted = {each.endpoint for each in asked}
        there = {str(key[1]): commit for key, commit in kept.items() if key[0] in wanted}
        return [
            Known(each, there[each], "here", here=True)
            for each in newest_first(there)
        ]  # fmt: skip
    absent = []
    for address in asked:
        try:
            found = of_repository(address)
        except UnknownModel as error:
            absent.append(str(error))
            continue
        return [
            Known(each.version, each.commit, str(address), each.latest, each.yanked,
                  (address.endpoint, each.version) in kept)
            for each in found.values()
        ]  # fmt: skip
    raise UnknownModel(" ".join(absent))


def _here(name: str) -> list[Known]:
    """Versions by a bare name, or of the models in the folder of a path: ./models/NAME."""
    if hub.is_path(name):
        path = Path(name).expanduser()
        there = {
            each.card.version: each
            for folder in sorted(path.parent.glob(f"{path.name}@*"))
            for each in [hub.resolve(folder)]
        }
    else:
        there = {each.card.version: each for each in hub.installed([]) if each.card.name == name}
    if not there:
        names = {each.card.name for each in hub.installed([])}
        raise UnknownModel(
            f"There is no model {name!r}.{nearest(name, names)} Here: {listed(names)}."
        )
    order = newest_first(there)
    return [
        Known(each, None, str(there[each].folder), latest=each == order[0], here=True)
        for each in order
    ]


def search(words: str, hub_name: str | None = None, limit: int = 50) -> list[Match]:
    """Models whose name or tags hold all words: here, then on the hubs of ZOO_HUBS (or one of them).

    Offline only those here. Raises HubError for a hub that cannot be asked or is not known.
    """
    wanted = words.lower().split()
    found = []
    if hub_name is None:
        for each in hub.cards():
            card = each.card
            text = " ".join([each.name, card.family, *card.tags, card.pipeline_tag or ""]).lower()
            if all(word in text for word in wanted):
                found.append(
                    Match(each.name, "here", card.version, card.license, card.pipeline_tag)
                )
    if offline():
        return found
    for endpoint in _endpoints(hub_name):
        address = Address(endpoint, "")
        with told(address):
            rows = list(
                api(address).list_models(
                    search=words or None, filter="genzoo", limit=limit, cardData=True
                )
            )
        for row in rows:
            data: dict[str, Any] = dict(row.card_data.__dict__) if row.card_data else {}
            block = data.get("zoo")
            version = block.get("version") if isinstance(block, dict) else None
            task = row.pipeline_tag or data.get("pipeline_tag")
            where = next((name for name, url in hubs().items() if url == endpoint), endpoint)
            said = (_text(each) for each in (version, data.get("license"), task))
            found.append(Match(str(row.id), where, *said))
    return found


def _text(value: object) -> str | None:
    """What a stranger's card says where text belongs; several licences are a list there."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return None if value is None else str(value)


def _endpoints(hub_name: str | None) -> list[str]:
    if hub_name is None:
        return ordered()
    if hub_name.startswith(("http://", "https://")):
        return [hub_name.rstrip("/")]
    if hub_name not in hubs():
        raise HubError(
            f"No hub is called {hub_name!r}.{nearest(hub_name, hubs())} There are: {listed(hubs())}."
        )
    return [hubs()[hub_name]]
