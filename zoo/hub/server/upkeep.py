"""Looking after a hub's folder while nobody serves it: is every byte right, and what is left over.

What counts as used is what some ref reaches, through all of its history. `check` reads everything;
`tidy` deletes the rest: objects and large files of squashed histories, deleted tags and refused
pushes, blobs of deleted repositories.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import file_digest

from zoo.errors import HubError
from zoo.hub.server.objects import FOLDER, HEX40, Large, pointed
from zoo.hub.server.repository import Repository
from zoo.hub.server.store import KINDS, Store, blob_name


@dataclass
class Reached:
    """What a repository's refs reach."""

    objects: set[str] = field(default_factory=set)
    large: set[Large] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)  # ids of objects


def every(store: Store) -> Iterator[Repository]:
    """All repositories of all kinds."""
    for kind in KINDS:
        yield from store.repositories(kind)


def reached(repository: Repository) -> Reached:
    """Follow all refs; every object on the way is read and its id checked."""
    found = Reached()
    for ref in _ref_names(repository):
        waiting = [repository.ref(ref) or ""]
        while waiting:
            oid = waiting.pop()
            if oid in found.objects:
                continue
            found.objects.add(oid)
            try:
                waiting += _next(repository, oid, found)
            except (HubError, ValueError, KeyError) as error:
                found.faults.append(f"{repository.name}: {ref}: {error}")
                found.damaged.append(oid)
    return found


def _ref_names(repository: Repository, under: str = "refs/") -> Iterator[str]:
    for name in repository.files.names(f"{repository.folder}/{under.rstrip('/')}"):
        ref = f"{under}{name}"
        if repository.files.size(f"{repository.folder}/{ref}") is None:
            yield from _ref_names(repository, f"{ref}/")
        else:
            yield ref


def _next(repository: Repository, oid: str, found: Reached) -> list[str]:
    kind, data = repository.objects.read(oid)
    if kind == "tag":
        return [data[7:47].decode()]
    if kind == "commit":
        commit = repository.commit(oid)
        return [commit.tree, *([commit.parent] if commit.parent else [])]
    if kind == "tree":
        rows = repository.objects.folder_entries(oid)
        return [child for mode, _, child in rows if mode == FOLDER or child not in found.objects]
    large = pointed(data)
    if large:
        found.large.add(large)
    return []


def check(store: Store, mend: bool = False) -> list[str]:
    """Read every object and blob; what is wrong, a sentence each.

    With `mend`, what is damaged is moved to `damaged/`, and the next push of that file heals it.
    """
    faults: list[str] = []
    wanted: dict[Large, str] = {}
    for repository in every(store):
        found = reached(repository)
        faults += found.faults
        if mend:
            _set_aside(store, repository, found.damaged)
        for large in found.large:
            wanted.setdefault(large, repository.name)
            if repository.granted(large.sha256) != large.size:
                faults.append(f"{repository.name}: {large.sha256} is used and was never uploaded.")
    for digest in _blobs(store):
        path = store.disk.path(blob_name(digest))
        with path.open("rb") as file:
            right = file_digest(file, "sha256").hexdigest() == digest
        if not right:
            faults.append(f"blob {digest} does not have its sha256.")
            if mend:
                store.disk.adopt(path, f"damaged/{digest}")
    faults += [
        f"{name}: the {large.size} bytes of {large.sha256} are missing: push that file again."
        for large, name in wanted.items()
        if not store.has(large)
    ]
    if mend:
        for repository in every(store):
            grants = store.files.names(f"{repository.folder}/lfs")
            if not all(store.files.size(blob_name(digest)) for digest in grants):
                _forget_chunks(store, repository)
    return faults


def _set_aside(store: Store, repository: Repository, damaged: list[str]) -> None:
    for oid in damaged:
        if oid in repository.objects:
            path = store.disk.path(f"{repository.folder}/objects/{oid[:2]}/{oid[2:]}")
            store.disk.adopt(path, f"damaged/{oid}")


def _blobs(store: Store) -> list[str]:
    names = store.files.names
    return [digest for start in names("blobs") for digest in names(f"blobs/{start}")]


def tidy(store: Store) -> int:
    """Delete what no ref reaches; bytes that came free. Raises HubError for a damaged repository."""
    freed, kept = 0, set[str]()
    for repository in every(store):
        found = reached(repository)
        if found.faults:
            raise HubError(f"{found.faults[0]} Nothing more is deleted: see `zoo hub check`.")
        used = {each.sha256 for each in found.large}
        kept |= used
        freed += _objects(repository, found.objects) + _grants(store, repository, used)
    for digest in _blobs(store):
        if digest not in kept:
            freed += store.files.size(blob_name(digest)) or 0
            store.files.remove(blob_name(digest))
    return freed


def _objects(repository: Repository, used: set[str]) -> int:
    freed = 0
    for start in repository.files.names(f"{repository.folder}/objects"):
        for rest in repository.files.names(f"{repository.folder}/objects/{start}"):
            name = f"{repository.folder}/objects/{start}/{rest}"
            if HEX40.fullmatch(start + rest) and start + rest not in used:
                freed += repository.files.size(name) or 0
                repository.files.remove(name)
    return freed


def _grants(store: Store, repository: Repository, used: set[str]) -> int:
    """Take back unused grants."""
    folder = store.disk.path(repository.folder)
    unused = [each for each in store.files.names(f"{repository.folder}/lfs") if each not in used]
    chunks = folder / "xet"
    pending = sum(each.stat().st_size for each in chunks.glob("*.data"))
    if not unused and not pending:
        return 0
    _forget_chunks(store, repository)
    for each in unused:
        store.files.remove(f"{repository.folder}/lfs/{each}")
    return pending


def _forget_chunks(store: Store, repository: Repository) -> None:
    """Clients remember for good which chunks they sent to an address: a new id is a new address."""
    facts = {**repository.facts, "id": secrets.token_hex(16)}
    store.files.write(f"{repository.folder}/zoo.json", json.dumps(facts).encode())
    chunks = store.disk.path(repository.folder) / "xet"
    if chunks.is_dir():
        shutil.rmtree(chunks)
