"""A hub's folder laid out as huggingface_hub's cache, for machines without a server or a network.

    models--ORG--NAME/refs/REVISION           the commit of a branch or tag
    models--ORG--NAME/snapshots/COMMIT/...    its files

The files are real ones and no links, so a view can be copied, zipped, shipped inside a package and
mounted read-only. With HF_HUB_CACHE=VIEW and HF_HUB_OFFLINE=1 timm, diffusers and transformers load
from it by the repositories' names. Every byte is checked on its way; a snapshot appears whole.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from zoo.errors import HubError, UnknownModel, listed, nearest
from zoo.hub.paths import path_problem
from zoo.hub.server.repository import HEADS, TAGS, Entry, Repository
from zoo.hub.server.store import KINDS, Store

PIECE = 4 << 20  # bytes


@dataclass(frozen=True)
class Viewed:
    """A repository of a view."""

    name: str
    kind: str
    revisions: list[str]
    folder: str


def lay_out(store: Store, view: Path, names: Sequence[str] = ()) -> list[Viewed]:
    """Bring a view up to date with a hub; what is there already is left.

    names  repositories; all that are public if none is named

    Raises UnknownModel, and HubError for damage and for a place that cannot be written.
    """
    there = [each for kind in KINDS for each in store.repositories(kind)]
    known = {each.name for each in there}
    for name in names:
        if name not in known:
            raise UnknownModel(
                f"This hub has no {name!r}.{nearest(name, known)} It has: {listed(known)}."
            )
    wanted = [each for each in there if (each.name in names if names else not each.private)]
    try:
        return [_repository(store, each, view) for each in wanted]
    except OSError as error:
        raise HubError(f"{view} cannot be written: {error}.") from error


def _repository(store: Store, found: Repository, view: Path) -> Viewed:
    place = view / "--".join([found.kind, *found.name.split("/")])
    revisions = []
    for prefix in (HEADS, TAGS):
        for ref, commit in found.refs(prefix).items():
            _snapshot(store, found, commit, place / "snapshots" / commit)
            revision = ref.removeprefix(prefix)
            pointer = place / "refs" / revision
            pointer.parent.mkdir(parents=True, exist_ok=True)
            pointer.write_text(commit)
            revisions.append(revision)
    return Viewed(found.name, found.kind, sorted(revisions), str(place))


def _snapshot(store: Store, found: Repository, commit: str, target: Path) -> None:
    if target.exists():
        return
    made = target.with_name(f".{secrets.token_hex(8)}")
    made.mkdir(parents=True)
    try:
        for path, entry in found.entries(commit).items():
            problem = path_problem(path)
            if problem:
                raise HubError(f"{found.name}: the file {path!r} is refused: {problem}.")
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            _copy(store, found, entry, made / path)
        made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _copy(store: Store, found: Repository, entry: Entry, path: Path) -> None:
    if entry.large is None:
        path.write_bytes(found.objects.of_kind(entry.oid, "blob"))
        return
    digest = sha256()
    with store.blob(entry.large) as source, path.open("xb") as target:
        while piece := source.read(PIECE):
            digest.update(piece)
            target.write(piece)
    if digest.hexdigest() != entry.large.sha256:
        raise HubError(
            f"{found.name}: {entry.path} is damaged in this hub's folder: `zoo hub check --mend`, then "
            "push it again."
        )
