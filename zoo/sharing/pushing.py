"""A model to a hub: checked, one commit, one tag. A version is pushed once and never again."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha1, sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from zoo import hub
from zoo.card import README, Card, reference, version_key
from zoo.errors import CardError, HubError, UnknownModel, UnknownVersion, listed
from zoo.hub.address import Address, addresses, is_address, is_repository
from zoo.hub.offline import refuse_offline
from zoo.hub.remote import LATEST, MAIN, api, move, told, versions
from zoo.hub.signatures import FILE
from zoo.sharing import folders, signing
from zoo.sharing.checking import refuse_unfit

if TYPE_CHECKING:
    from zoo.model import Model


@dataclass(frozen=True)
class Pushed:
    """What a hub has now."""

    where: str  # as it is asked for: hf:org/name@1.2.0
    version: str
    commit: str | None  # None in a folder
    files: int
    bytes: int
    card_sha256: str
    latest: bool
    signer: str | None = None


@dataclass(frozen=True)
class Parcel:
    """A version as it will lie on a hub."""

    card: Card
    text: bytes
    folder: Path  # of the card's files
    envelope: bytes | None = None  # its signature

    @property
    def signer(self) -> str | None:
        """The key that signed it."""
        return signing.key_id(self.envelope) if self.envelope else None


def push(
    model: str | os.PathLike[str] | Model,
    to: str,
    version: str | None = None,
    *,
    latest: bool | None = None,
    private: bool = False,
    key: Path | None = None,
    message: str | None = None,
) -> Pushed:
    """Give a model to others, as a version that nobody can change afterwards.

    model    a name, a folder, or a loaded model
    to       hf:org/repo, NAME:org/repo, http://host/org/repo, or a folder for models
    version  semantic; that of the card if not given
    latest   whether the tag `latest` moves here; if it is the newest release, unless said
    private  a repository that is made for it is visible to its organisation alone
    key      an ed25519 key to sign with (`zoo hub key`)

    The card's name becomes the repository's. Raises CardError, WeightsError and HubError for what
    must not be shared, for a version that is there already, and for a hub that refuses.
    """
    if version is not None:
        version_key(version)
    with _opened(model) as (card, folder):
        card = replace(card, version=version or card.version)
        if not (is_address(to) or is_repository(to)):
            refuse_unfit(card, folder)
            return folders.push(_parcel(card, folder, key), Path(to).expanduser())
        refuse_offline(f"Pushing to {to}")
        address = target(to)
        card = replace(card, name=_name(address))
        refuse_unfit(card, folder)
        _refuse_missing_parts(card, address)
        return deliver(_parcel(card, folder, key), address, latest, private, message)


def target(to: str) -> Address:
    """The one repository that is pushed to. Raises HubError, UnknownModel."""
    asked = addresses(to)
    if asked[0].revision is not None:
        raise HubError(f"{to}: the version to push is given apart: --version {asked[0].revision}.")
    return asked[0]


def deliver(
    parcel: Parcel,
    address: Address,
    latest: bool | None = None,
    private: bool = False,
    message: str | None = None,
) -> Pushed:
    """One commit of a parcel's files and its tag. Raises HubError for a version that is there."""
    card, client = parcel.card, api(address)
    with told(address):
        client.create_repo(address.repository, private=private, exist_ok=True)
        info = client.model_info(address.repository, revision=MAIN)
    every = versions(address)
    if card.version in every:
        raise HubError(
            f"{address} has version {card.version} already (commit {every[card.version].commit}), and "
            f"a version never changes. It has: {listed(every)}. Push under a new one; "
            f"`zoo yank {address}@{card.version}` warns people off the old."
        )
    wanted = {README, *card.files, *([FILE] if parcel.envelope else [])}
    stale = {
        each.rfilename for each in info.siblings or () if each.rfilename != ".gitattributes"
    } - wanted
    title = message or f"{card.title}"
    with told(address), _plain_uploads(address.endpoint):
        done = client.create_commit(
            address.repository, _operations(parcel, stale), commit_message=title,
            revision=MAIN, parent_commit=info.sha,
        )  # fmt: skip
        client.create_tag(address.repository, tag=card.version, revision=done.oid)
    _refuse_other(parcel, address, str(done.oid))
    newest = "-" not in card.version and all(
        version_key(card.version) > version_key(each) for each in every if "-" not in each
    )
    moved = newest if latest is None else latest
    if moved:
        move(address, LATEST, str(done.oid))
    return Pushed(
        str(address.at(card.version)), card.version, str(done.oid), len(card.files) + 1,
        card.bytes + len(parcel.text), sha256(parcel.text).hexdigest(), moved, parcel.signer,
    )  # fmt: skip


@contextmanager
def _plain_uploads(endpoint: str) -> Iterator[None]:
    """Large files go by git-lfs, which every hub takes, and not by Xet, which few do.

    Clients too old to have that switch use Xet only where a hub offers it. Those before 1.0 read a
    commit's address as one of the hub of HF_ENDPOINT, and fail after the commit if it is not.
    Deprecations inside the client are for its authors.
    """
    from huggingface_hub import constants

    wanted = {"HF_HUB_DISABLE_XET": True, "ENDPOINT": endpoint}
    before = {name: getattr(constants, name) for name in wanted if hasattr(constants, name)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name in before:
            setattr(constants, name, wanted[name])
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(constants, name, value)


def _operations(parcel: Parcel, stale: set[str]) -> list[Any]:
    """The commit's changes."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    made: list[Any] = [CommitOperationAdd(README, parcel.text)]
    if parcel.envelope:
        made.append(CommitOperationAdd(FILE, parcel.envelope))
    for path in parcel.card.files:
        made.append(CommitOperationAdd(path, parcel.folder / path))
    return made + [CommitOperationDelete(path) for path in sorted(stale)]


def _refuse_other(parcel: Parcel, address: Address, commit: str) -> None:
    """Ask the hub what it has now, and raise HubError unless that is what was sent."""
    with told(address):
        found = api(address).get_paths_info(
            address.repository, list(parcel.card.files), revision=commit
        )
    there = {each.path: each for each in found}
    for path, facts in parcel.card.files.items():
        lfs = getattr(there.get(path), "lfs", None)
        size = getattr(there.get(path), "size", None)
        has = lfs.sha256 if lfs else getattr(there.get(path), "blob_id", None)
        sent = facts.sha256 if lfs else _git_id(parcel.folder / path)
        if (size, has) != (facts.size, sent):
            raise HubError(
                f"{address.at(commit)}: the hub has {path} with {size} bytes and the id {has}; sent "
                f"were {facts.size} and {sent}. Do not use that version: yank it and push another."
            )


def _git_id(path: Path) -> str:
    """The id of a small file on a hub: git's of a blob."""
    data = path.read_bytes()
    return sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _refuse_missing_parts(card: Card, address: Address) -> None:
    """Raise HubError for a part that those who pull will not find."""
    organisation = address.repository.partition("/")[0]
    for role, part in card.needs.items():
        name, version = reference(part)
        if any(each.card.title == part and each.source == "embedded" for each in hub.installed([])):
            continue
        beside = replace(address, repository=f"{organisation}/{name}", revision=None)
        try:
            there = versions(beside)
        except (UnknownModel, UnknownVersion):
            there = {}
        if version not in there:
            raise HubError(
                f"The {role} of {card.title} is {part}, which {beside} does not have (versions: "
                f"{listed(there)}). Push it first: `zoo push {part} {beside} --version {version}`."
            )


def _name(address: Address) -> str:
    """A repository's name as a card's. Raises HubError."""
    name = address.name
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,95}", name):
        raise HubError(
            f"{address}: a card's name is small letters, digits, '.', '_' and '-'. Name the repository "
            f"{name.lower()!r}."
        )
    return name


def _parcel(card: Card, folder: Path, key: Path | None) -> Parcel:
    text = card.text().encode("utf-8")
    if Card.parse(text.decode("utf-8"), README) != card:
        raise CardError(f"The card of {card.title} does not survive being written.")
    envelope = signing.sign(card, sha256(text).hexdigest(), key) if key else None
    return Parcel(card, text, folder, envelope)


@contextmanager
def _opened(model: str | os.PathLike[str] | Model) -> Iterator[tuple[Card, Path]]:
    """A model's card and the folder of its files, which may last no longer than the context."""
    if isinstance(model, str | os.PathLike):
        if hub.is_foreign(model):
            raise HubError(
                f"{model} is another project's checkpoint: `zoo convert {model} NAME` makes it a model."
            )
        found = hub.resolve(model)
        yield found.card, found.folder
        return
    with TemporaryDirectory() as made:
        model.save(made)
        yield Card.read(made), Path(made)
