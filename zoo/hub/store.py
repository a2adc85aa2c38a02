"""The local store: models that were pulled, as folders of links to shared files.

    hubs/HOST/ORG/REPO@VERSION/    README.md, the card's files, and .zoo-origin.json: where from
    hubs/HOST/ORG/REPO@COMMIT/     what was pulled at a branch or commit (12 digits) is no version
    blobs/, partial/               see `zoo.hub.download`

A model's folder is made elsewhere and renamed, so a folder that is there is whole. The card's
sha256 stands in the origin, every other file's in the card: nothing in a folder can change
unnoticed. Models of one organisation lie side by side, which is where `zoo.loading` looks for parts.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from zoo.card import README, Card, version_key
from zoo.errors import HubError
from zoo.hub.address import Address
from zoo.hub.home import home, stores
from zoo.hub.paths import clash, name_problem, path_problem
from zoo.hub.signatures import FILE

ORIGIN = ".zoo-origin.json"
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9\[][^\s@?#]{0,300}")


@dataclass(frozen=True)
class Origin:
    """What was asked for, and what it was resolved to."""

    endpoint: str
    repository: str
    asked: str | None  # the revision
    commit: str
    card_sha256: str
    version: str | None = None  # if it was pulled as one
    signer: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no origin: it may come from a lock or a bundle, and becomes a path."""
        parts = str(self.repository).split("/")
        sound = (
            _ENDPOINT.fullmatch(str(self.endpoint))
            and len(parts) == 2
            and not any(map(name_problem, parts))
            and re.fullmatch(r"[0-9a-f]{40}", str(self.commit))
            and re.fullmatch(r"[0-9a-f]{64}", str(self.card_sha256))
            and isinstance(self.asked, str | None)
        )
        if not sound:
            raise HubError(f"{self.__dict__} is no origin of a model.")
        if self.version is not None:
            version_key(self.version)

    def __str__(self) -> str:
        return str(Address(self.endpoint, self.repository, self.version or self.commit))

    @property
    def address(self) -> Address:
        """Where the same files can be asked for again."""
        return Address(self.endpoint, self.repository, self.commit)

    @property
    def folder(self) -> Path:
        """Where such a model lies in a store, from the store's root."""
        plain = re.sub(r"^https://", "", self.endpoint)
        host = re.sub(r"[^A-Za-z0-9.-]", "+", plain)  # begins with a letter, a digit or "+"
        return Path("hubs", host, f"{self.repository}@{self.version or self.commit[:12]}")

    def text(self) -> str:
        """As it is written, with a sum of itself."""
        facts = asdict(self)
        return json.dumps({**facts, "sum": _sum(facts)}, indent=1)

    @classmethod
    def read(cls, folder: Path) -> Origin:
        """The origin of a model of a store. Raises HubError for one that is missing or damaged."""
        path = folder / ORIGIN
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            said = facts.pop("sum")
            if said != _sum(facts):
                raise ValueError("its sum is wrong")
            return cls(**facts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise HubError(
                f"{path} is damaged ({error}), so nobody knows what {folder.name} is: delete the "
                "folder and pull the model again."
            ) from error


def _sum(facts: Mapping[str, object]) -> str:
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def kept() -> Iterator[tuple[Path, Origin | HubError]]:
    """All pulled models of all stores: the folder, and its origin or what is wrong with that."""
    for store in stores():
        for folder in sorted((store / "hubs").glob("*/*/*@*")):
            try:
                yield folder, Origin.read(folder)
            except HubError as error:
                yield folder, error


def standing(origin: Origin) -> tuple[Path, Origin] | None:
    """The folder of a pulled model in whichever store has it, with its origin there."""
    for store in stores():
        folder = store / origin.folder
        if (folder / ORIGIN).exists():
            return folder, Origin.read(folder)
    return None


def card_of(folder: Path, origin: Origin) -> Card:
    """The card of a pulled model. Raises HubError if it is not the one that was pulled, CardError."""
    path = folder / README
    try:
        text = path.read_bytes()
    except OSError as error:
        raise HubError(
            f"{path} cannot be read: {error}. `zoo verify {origin}` fetches it again."
        ) from error
    if sha256(text).hexdigest() != origin.card_sha256:
        raise HubError(
            f"{path} is not the card that was pulled from {origin} (sha256 {origin.card_sha256}): it "
            f"was changed or damaged. `zoo verify {origin}` fetches it again; to change a model, save "
            "it to a folder of your own."
        )
    return Card.parse(text.decode("utf-8"), str(path))


def refuse_paths(card: Card) -> None:
    """Raise HubError for a card whose files could leave its folder or hide one another."""
    for path in card.files:
        problem = path_problem(path)
        if problem:
            raise HubError(f"The card of {card.title} names the file {path!r}: {problem}.")
    both = clash([README, FILE, ORIGIN, *card.files])
    if both:
        raise HubError(
            f"The card of {card.title} names {both[0]!r} and {both[1]!r}, which some systems take "
            "for one file."
        )


def install(
    text: bytes, files: Mapping[str, Path], origin: Origin, envelope: bytes | None = None
) -> Path:
    """Lay a model into the store from a card's text, verified files, a signature; its folder.

    A folder that is there already is replaced: the caller has compared what it holds.
    """
    target = home() / origin.folder
    made = home() / "partial" / f"model-{secrets.token_hex(8)}"
    old = made.with_name(f"{made.name}-old")
    try:
        made.mkdir(parents=True)
        for path, file in files.items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            link(file, made / path)
        if envelope is not None:
            (made / FILE).write_bytes(envelope)
        (made / README).write_bytes(text)
        (made / ORIGIN).write_text(origin.text(), encoding="utf-8")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(old)
        made.rename(target)
    except FileNotFoundError as error:
        raise HubError(f"{error.filename} went while it was used: pull {origin} again.") from error
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another puller was quicker
            raise HubError(
                f"{home()} cannot be written: {error}. Set ZOO_HOME to a folder that can."
            ) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return target


def link(file: Path, path: Path) -> None:
    """A second name for a file; a copy where the file system has no hard links."""
    try:
        os.link(file, path)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        shutil.copyfile(file, path)
