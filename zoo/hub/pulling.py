"""From a hub into the store: resolved once, to a commit; every byte checked; nothing half done.

The order is the card (its bytes against the id that the hub states for them), the paths it names,
the space they need, who signed it, each file against its sha256, each safetensors header against
the file; then the folder appears under its name. A version that is in the store is never asked
for again, since a version never changes.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from hashlib import sha1, sha256
from pathlib import Path

from zoo.card import README, Card, reference
from zoo.errors import CardError, HubError, UnknownModel, UnknownVersion, listed
from zoo.hub import locks, signatures
from zoo.hub.address import Address, addresses, ordered
from zoo.hub.download import fetch, here, pieces, refuse_full
from zoo.hub.offline import offline
from zoo.hub.remote import is_version, newest_first, settled, told
from zoo.hub.store import Origin, card_of, install, kept, refuse_paths, standing
from zoo.safetensors_header import read_header
from zoo.schema import LONGEST

log = logging.getLogger("zoo.hub")
DEEPEST = 8  # parts within parts; a hub could go on for ever


@dataclass(frozen=True)
class Pulled:
    """A model of the store: its card, its folder, where it came from."""

    card: Card
    folder: Path
    origin: Origin


def find(name: str, version: str | None = None) -> Pulled:
    """A model by org/repo[@revision] or the address of a hub, from the store if that is enough.

    It is enough for a version or a commit. For org/repo without a revision the newest version in
    the store is taken, so that a program does not change by itself: `pull` looks for a newer one.
    An address with its hub (hf:org/repo) and no revision asks that hub, unless all is offline.

    Raises UnknownModel, UnknownVersion, CardError, HubError, WeightsError.
    """
    asked = addresses(name, version)
    if os.environ.get("ZOO_LOCK"):
        return locked(asked, Path(os.environ["ZOO_LOCK"]))
    told_hub = not name.startswith(asked[0].repository)
    if asked[0].revision is None and (offline() or not told_hub):
        found = _newest(asked)
        if found:
            return found
    return pull(name, version)


def pull(name: str, version: str | None = None) -> Pulled:
    """Fetch a model of a hub into the store, or find it there.

    name   org/repo, hf:org/repo, NAME:org/repo or http://host/org/repo, each with @version, tag,
           branch or commit; the first hub that has the repository answers

    Raises UnknownModel, UnknownVersion, CardError, HubError, WeightsError.
    """
    asked = addresses(name, version)
    for address in asked:
        found = _pinned(address)
        if found:
            return found
    if offline():
        there = [f"{origin}" for _, origin in _of_repositories(asked)]
        raise HubError(
            f"{name} is not in the store, and {offline()} forbids the network. In the store: "
            f"{listed(there)}."
        )
    absent: list[str] = []
    for address in asked:
        try:
            exact, commit = settled(address)
        except UnknownModel as error:
            absent.append(str(error))
            continue
        log.info("%s is %s at commit %s", name, exact, commit)
        return pull_commit(exact, commit)
    raise UnknownModel(" ".join(absent))


def locked(asked: list[Address], lock: Path) -> Pulled:
    """What a lock file says a repository is, from wherever the same bytes are.

    Raises UnknownModel for one that is not in the file, HubError for one that drifted.
    """
    entries = locks.read(lock)
    for address in asked:
        for entry in entries:
            origin = entry.origin
            same = origin and (origin.endpoint, origin.repository) == (
                address.endpoint, address.repository,
            )  # fmt: skip
            revisions = (
                None,
                origin and origin.asked,
                origin and origin.version,
                origin and origin.commit,
            )
            if same and address.revision in revisions:
                return pull_entry(entry)
    raise UnknownModel(
        f"{listed(map(str, asked))} is not in {lock}, which has {listed(each.name for each in entries)}. "
        "`zoo lock NAME` adds a model."
    )


def pull_entry(entry: locks.Entry) -> Pulled:
    """The model of a lock, the same byte for byte: of the store, its hub, or another of ZOO_HUBS.

    Raises HubError for drift, saying what differs.
    """
    was = entry.origin
    if was is None:
        raise HubError(f"{entry.name} is no pulled model.")
    for folder, origin in _of_repositories([was.address]):
        if origin.card_sha256 == was.card_sha256:
            return Pulled(card_of(folder, origin), folder, origin)
    asked = [(was.address.at(was.version or was.commit), was.commit)]
    if was.version:
        others = [Address(each, was.repository, was.version) for each in ordered()]
        asked += [(each, "") for each in others if each.endpoint != was.endpoint]
    tried = []
    for address, commit in asked:
        try:
            exact, commit = (address, commit) if commit else settled(address)
            text = card_text(exact, commit)
            found = sha256(text).hexdigest()
            if found != was.card_sha256:
                tried.append(f"{exact} has a card of sha256 {found}, locked is {was.card_sha256}.")
                continue
            return pull_commit(exact, commit)
        except (UnknownModel, UnknownVersion, HubError) as error:
            tried.append(str(error))
    raise HubError(f"{entry.name} cannot be had as it was locked. {' '.join(tried)}")


def pull_commit(address: Address, commit: str, within: tuple[str, ...] = ()) -> Pulled:
    """Fetch the model of one commit, found by the address's revision; `within` others, as a part."""
    version = address.revision if is_version(address.revision) else None
    text = card_text(address, commit)
    card = parsed(text, address)
    if version and card.version != version:
        raise CardError(
            f"{address} holds a card of version {card.version}: the tag stands on the wrong commit."
        )
    origin = Origin(
        address.endpoint, address.repository, address.revision, commit,
        sha256(text).hexdigest(), version,
    )  # fmt: skip
    there = standing(origin)
    if there and there[1].commit == commit and there[1].card_sha256 == origin.card_sha256:
        return Pulled(card_of(there[0], there[1]), *there)
    if there and version:
        raise HubError(
            f"{address} is another model than the one pulled before: its commit was {there[1].commit} "
            f"and is {commit}. A version never changes, so the hub or somebody on it is not to be "
            f"trusted. What was pulled is unharmed in {there[0]}; delete that folder to take the new "
            "one."
        )
    envelope = small_file(address, commit, signatures.FILE, signatures.LONGEST)
    return lay(card, text, origin, envelope, within)


def lay(
    card: Card, text: bytes, origin: Origin, envelope: bytes | None, within: tuple[str, ...] = ()
) -> Pulled:
    """Fetch a card's files and parts, and lay all into the store. Raises as `pull` does."""
    refuse_paths(card)
    if len(within) == DEEPEST:
        raise CardError(f"Parts of parts of parts: {' needs '.join([*within, str(origin)])}.")
    origin = replace(origin, signer=signatures.checked(origin, card, envelope))
    _pull_parts(card, origin.address, (*within, str(origin)))
    missing = {
        facts.sha256: facts.size
        for facts in card.files.values()
        if here(facts.sha256, facts.size) is None
    }
    refuse_full(sum(missing.values()))
    address, token, files = origin.address, origin.address.token, {}
    for path, facts in card.files.items():
        url = address.file(origin.commit, path)
        files[path] = fetch(url, facts.sha256, facts.size, token)
        if path.endswith(".safetensors"):
            read_header(files[path])
    return Pulled(card, install(text, files, origin, envelope), origin)


def parsed(text: bytes, address: Address) -> Card:
    """A card's bytes as a card. Raises CardError."""
    try:
        return Card.parse(text.decode("utf-8"), f"{address}/{README}")
    except UnicodeDecodeError as error:
        raise CardError(f"{address}/{README}: not UTF-8 text (byte {error.start}).") from error


def card_text(address: Address, commit: str) -> bytes:
    """The card's bytes at a commit. Raises HubError."""
    text = small_file(address, commit, README, 4 * LONGEST)
    if text is None:
        raise HubError(f"{address} has no file {README}, so it is no model.")
    return text


def small_file(address: Address, commit: str, path: str, longest: int) -> bytes | None:
    r"""A small file's bytes, checked against the id that the hub states; None if it has none.

    The id is git's of a blob, sha1("blob SIZE\0" + bytes), or the sha256 of a large file.
    """
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.errors import EntryNotFoundError

    url = address.file(commit, path)
    with told(address):
        try:
            facts = get_hf_file_metadata(url, token=address.token or False)
        except EntryNotFoundError:
            return None
    if facts.commit_hash != commit:
        raise HubError(f"{url}: the hub answers for commit {facts.commit_hash}.")
    if facts.size is None or facts.size > longest or not facts.etag:
        raise HubError(f"{url}: {facts.size} bytes; at most {longest} are read.")
    try:
        text = b"".join(pieces(url, 0, facts.size, address.token))
    except OSError as error:
        raise HubError(f"{url} could not be fetched: {error}.") from error
    git = sha1(f"blob {len(text)}\0".encode() + text, usedforsecurity=False).hexdigest()
    if facts.etag not in (git, sha256(text).hexdigest()):
        raise HubError(
            f"{url}: what came ({len(text)} of {facts.size} bytes) is not what the hub calls "
            f"{facts.etag}: damaged on the way. Ask again."
        )
    return text


def _pull_parts(card: Card, address: Address, within: tuple[str, ...]) -> None:
    """Fetch the models that a card is made with: of the same organisation, or known here."""
    from zoo.hub import installed

    organisation = address.repository.partition("/")[0]
    for role, part in card.needs.items():
        name, version = reference(part)
        beside = Address(address.endpoint, f"{organisation}/{name}", version)
        try:
            found = pull_part(beside, within)
        except (UnknownModel, UnknownVersion) as error:
            if any(each.card.title == part for each in installed([])):
                continue
            raise UnknownModel(
                f"The {role} of {card.title} is {part}, which is neither on this machine nor at "
                f"{beside}: {error}"
            ) from error
        if found.card.title != part:
            raise CardError(f"{beside} holds {found.card.title}, and {card.title} needs {part}.")


def pull_part(address: Address, within: tuple[str, ...] = ()) -> Pulled:
    """A part at its version, from the store or its hub."""
    found = _pinned(address)
    return found or pull_commit(*settled(address), within)


def _pinned(address: Address) -> Pulled | None:
    """A model of the store that can only be what is asked for: a version or a whole commit."""
    for folder, origin in _of_repositories([address]):
        if address.revision is not None and address.revision in (origin.commit, origin.version):
            return Pulled(card_of(folder, origin), folder, origin)
    return None


def _newest(asked: list[Address]) -> Pulled | None:
    """The newest version in the store; a branch's commit only if there is nothing else."""
    for address in asked:
        there = {
            origin.version or origin.commit: (folder, origin)
            for folder, origin in _of_repositories([address])
        }
        order = [*newest_first(filter(is_version, there)), *there]
        if order:
            folder, origin = there[order[0]]
            return Pulled(card_of(folder, origin), folder, origin)
    return None


def _of_repositories(asked: list[Address]) -> list[tuple[Path, Origin]]:
    wanted = [(each.endpoint, each.repository) for each in asked]
    return [
        (folder, origin)
        for folder, origin in kept()
        if isinstance(origin, Origin) and (origin.endpoint, origin.repository) in wanted
    ]
