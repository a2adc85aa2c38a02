"""One repository: a bare git repository whose refs change by compare-and-swap.

    repositories/models/org/name/{HEAD,config,objects,refs}    git's own
    repositories/models/org/name/zoo.json                      id, private, created
    repositories/models/org/name/lfs/SHA256                    this repository may use that blob

A commit is written from its leaves up and the ref last, by a rename: whoever is killed in between
leaves the old ref and some objects nobody points to.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Lock, RLock
from typing import Any

from zoo.errors import HubError
from zoo.hub.paths import path_problem
from zoo.hub.server.files import Files
from zoo.hub.server.objects import FILE, FOLDER, HEX40, Large, Objects, pointed

HEADS, TAGS, PULLS = "refs/heads/", "refs/tags/", "refs/pr/"
MAIN = HEADS + "main"
REMEMBERED = 200_000  # sizes of blobs in memory


class Conflict(HubError):
    """A ref is not what the caller believed."""


@dataclass(frozen=True)
class Commit:
    """A point of the history."""

    oid: str
    tree: str
    parent: str | None
    author: str
    seconds: int  # since 1970
    message: str

    @property
    def title(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]


@dataclass(frozen=True)
class Entry:
    """A file at a commit."""

    path: str
    oid: str  # of the git blob
    size: int  # bytes of the file, not of a pointer
    large: Large | None

    @property
    def etag(self) -> str:
        """What names the content: the sha256 of a large file, the git id of a small one."""
        return self.large.sha256 if self.large else self.oid


class Repository:
    """A repository that exists. `lock` is held by whoever changes a ref."""

    def __init__(
        self, files: Files, kind: str, name: str, lock: RLock, folder: str | None = None
    ) -> None:
        self.files, self.kind, self.name, self.lock = files, kind, name, lock
        self.folder = folder or f"repositories/{kind}/{name}"
        self.gone = False  # deleted or renamed while someone still held this
        self.objects = Objects(files, self.folder)
        try:
            self.facts: dict[str, Any] = dict(json.loads(files.read(f"{self.folder}/zoo.json")))
        except (ValueError, TypeError) as error:
            raise HubError(f"{self.folder}/zoo.json is damaged: {error}.") from error
        self.chunks = Lock()  # held while a file is put together; `lock` stays free for commits
        self.coming = 0  # bytes of uploads on their way; counted in the event loop alone
        self._entries: dict[str, tuple[int, Large | None]] = {}
        self._granted: dict[str, int] | None = None

    @property
    def namespace(self) -> str:
        """The user or organisation it belongs to."""
        return self.name.partition("/")[0]

    @property
    def private(self) -> bool:
        """Whether only its namespace's members see it."""
        return bool(self.facts["private"])

    @property
    def id(self) -> str:
        """Never used again, even if the repository is deleted and its name taken anew."""
        return str(self.facts["id"])

    def set_private(self, private: bool) -> None:
        """Show it to everybody, or to its namespace's members."""
        with self.lock:
            self._still_here()
            self.facts = {**self.facts, "private": private}
            self.files.write(f"{self.folder}/zoo.json", json.dumps(self.facts).encode())

    def _still_here(self) -> None:
        if self.gone:
            raise Conflict(f"{self.name} was deleted or renamed meanwhile.")

    def refs(self, under: str = "refs/") -> dict[str, str]:
        """Full name to commit, of all refs below a prefix ending in a slash."""
        found: dict[str, str] = {}
        for name in self.files.names(f"{self.folder}/{under.rstrip('/')}"):
            ref = f"{under}{name}"
            if self.files.size(f"{self.folder}/{ref}") is None:
                found.update(self.refs(f"{ref}/"))
            else:
                found[ref] = self.peel(self.ref(ref) or "")
        return found

    def ref(self, ref: str) -> str | None:
        """What a full ref name holds: a commit or an annotated tag; None if there is no such ref."""
        try:
            return self.files.read(f"{self.folder}/{ref}").decode().strip()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def peel(self, oid: str) -> str:
        """The commit of a commit or an annotated tag."""
        kind, data = self.objects.read(oid)
        return data[7:47].decode() if kind == "tag" else oid

    def find(self, revision: str) -> str | None:
        """The commit of a branch, tag, `refs/...` name, full id or id of at least 7 digits."""
        if path_problem(revision):
            return None
        names = [revision] if revision.startswith("refs/") else []
        for ref in (*names, HEADS + revision, TAGS + revision):
            oid = self.ref(ref)
            if oid:
                return self.peel(oid)
        if HEX40.fullmatch(revision):
            known = revision in self.objects and self.objects.read(revision)[0] == "commit"
            return revision if known else None
        if 7 <= len(revision) < 40 and HEX40.fullmatch(revision.ljust(40, "0")):
            near = self.files.names(f"{self.folder}/objects/{revision[:2]}")
            full = [revision[:2] + each for each in near if each.startswith(revision[2:])]
            commits = [each for each in full if self.objects.read(each)[0] == "commit"]
            return commits[0] if len(commits) == 1 else None
        return None

    def commit(self, oid: str) -> Commit:
        """A commit by its full id."""
        head, _, message = self.objects.of_kind(oid, "commit").decode().partition("\n\n")
        lines = [line.partition(" ") for line in head.split("\n")]
        fields = {key: value for key, _, value in lines}
        author, seconds, _ = fields["author"].rsplit(" ", 2)
        name = author.partition(" <")[0]
        return Commit(
            oid, fields["tree"], fields.get("parent"), name, int(seconds), message.rstrip("\n")
        )

    def history(self, oid: str) -> Iterator[Commit]:
        """From a commit back to the first."""
        at: str | None = oid
        while at:
            commit = self.commit(at)
            yield commit
            at = commit.parent

    def entries(self, commit: str) -> dict[str, Entry]:
        """All files at a commit, by path, sorted."""
        flat = self.objects.flat(self.commit(commit).tree)
        return {path: self.entry(path, flat[path]) for path in sorted(flat)}

    def folders(self, commit: str) -> dict[str, str]:
        """All folders at a commit: path to tree."""
        return dict(self._folders(self.commit(commit).tree, ""))

    def _folders(self, tree: str, under: str) -> Iterator[tuple[str, str]]:
        for mode, name, oid in self.objects.folder_entries(tree):
            if mode == FOLDER:
                yield f"{under}{name}", oid
                yield from self._folders(oid, f"{under}{name}/")

    def blob_at(self, commit: str, path: str) -> str | None:
        """The git blob of a file at a commit, or None."""
        at, (*folders, name) = self.commit(commit).tree, path.split("/")
        for wanted, kind in [*((folder, FOLDER) for folder in folders), (name, FILE)]:
            inside = {
                each: oid for mode, each, oid in self.objects.folder_entries(at) if mode == kind
            }
            if wanted not in inside:
                return None
            at = inside[wanted]
        return at

    def entry(self, path: str, blob: str) -> Entry:
        """A file from its git blob."""
        facts = self._entries.get(blob)
        if facts is None:
            data = self.objects.of_kind(blob, "blob")
            large = pointed(data)
            facts = (large.size if large else len(data), large)
            if len(self._entries) > REMEMBERED:
                self._entries = {}
            self._entries[blob] = facts
        return Entry(path, blob, *facts)

    def write_commit(
        self, files: Mapping[str, str], parent: str | None, author: str, message: str
    ) -> str:
        """Store a commit of {path: blob}; no ref moves."""
        tree = self.objects.write_tree(files)
        who = f"{author} <{author}@zoo.hub> {int(time.time())} +0000"
        up = f"parent {parent}\n" if parent else ""
        said = message.replace("\0", "").strip() or "Change files"
        text = f"tree {tree}\n{up}author {who}\ncommitter {who}\n\n{said}\n"
        return self.objects.write("commit", text.encode())

    def write_tag(self, name: str, commit: str, author: str, message: str) -> str:
        """Store an annotated tag; no ref moves."""
        who = f"{author} <{author}@zoo.hub> {int(time.time())} +0000"
        said = message.replace("\0", "").strip()
        text = f"object {commit}\ntype commit\ntag {name}\ntagger {who}\n\n{said}\n"
        return self.objects.write("tag", text.encode())

    def move_ref(self, ref: str, old: str | None, new: str | None) -> None:
        """Set a ref to `new` (None deletes it) if it is still `old` (None: absent). Raises Conflict."""
        with self.lock:
            self._still_here()
            now = self.ref(ref)
            if now != old:
                raise Conflict(
                    f"{self.name}: {ref} is {now}, not {old}: someone moved it meanwhile."
                )
            if new is None:
                self.files.remove(f"{self.folder}/{ref}")
                return
            if old is None:
                self._refuse_nesting(ref)
            self.files.write(f"{self.folder}/{ref}", f"{new}\n".encode())

    def _refuse_nesting(self, ref: str) -> None:
        parts = ref.split("/")
        above = ["/".join(parts[:depth]) for depth in range(3, len(parts))]
        taken = [each for each in above if self.ref(each)] or list(self.refs(f"{ref}/"))
        if taken:
            raise Conflict(f"{self.name}: {ref} cannot be made beside {taken[0]}, as in git.")

    def granted(self, sha256: str) -> int | None:
        """The size of a blob that this repository may use, or None."""
        return self._grants().get(sha256)

    def _grants(self) -> dict[str, int]:
        with self.lock:
            if self._granted is None:
                folder = f"{self.folder}/lfs"
                self._granted = {
                    each: int(self.files.read(f"{folder}/{each}"))
                    for each in self.files.names(folder)
                }
            return self._granted

    def grant(self, large: Large) -> None:
        """Let this repository use a blob that someone proved to have."""
        with self.lock:
            self._still_here()
            self.files.write(f"{self.folder}/lfs/{large.sha256}", str(large.size).encode())
            self._grants()[large.sha256] = large.size

    def used(self) -> int:
        """Bytes of all blobs it may use, and of its git objects."""
        with self.lock:
            return sum(self._grants().values()) + self.objects.used()

    def changed(self, old: str | None, new: str, under: str = "") -> Iterator[str]:
        """Files and folders of the tree `new` that stand otherwise, or not, in the tree `old`."""
        rows = self.objects.folder_entries(old) if old else []
        before = {name: (mode, oid) for mode, name, oid in rows}
        for mode, name, oid in self.objects.folder_entries(new):
            was = before.get(name, ("", ""))
            if was == (mode, oid):
                continue
            yield f"{under}{name}"
            if mode == FOLDER:
                inside = was[1] if was[0] == FOLDER else None
                yield from self.changed(inside, oid, f"{under}{name}/")
