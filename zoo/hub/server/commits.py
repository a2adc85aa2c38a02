"""A commit as the client sends it: first what will come, then the changes, a line of JSON each.

Small files travel inside, in base64, and become git blobs line by line, so that memory stays flat;
large ones came before (`lfs`, `xet`) and are named by sha256. The tree is built on the branch's head
under the repository's lock, and the branch moves by compare-and-swap: of two pushes at once both
stand afterwards, in some order, unless one named the commit it was made for (412).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from zoo.errors import HubError
from zoo.hub.paths import clash, path_problem, ref_problem
from zoo.hub.server.ignored import ignoring
from zoo.hub.server.objects import HEX40, Large, pointed
from zoo.hub.server.proposals import opened
from zoo.hub.server.repository import HEADS, PULLS, Repository
from zoo.hub.server.resolve import commit_of
from zoo.hub.server.room import ask_room
from zoo.hub.server.routing import Call, Hub, Refused, Route, answered, read_json

LARGE = (
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz", ".npy", ".onnx", ".gguf", ".h5", ".png",
    ".jpg", ".jpeg", ".webp", ".gif", ".zip", ".gz", ".tar", ".zst", ".xz", ".parquet", ".arrow",
)  # fmt: skip
TEXT_AT_MOST = 1_000_000  # bytes; larger ones go the large way
CHANGED = "The branch was updated since you opened this page. Please refresh and try again."


@dataclass
class Changes:
    """What a commit does."""

    hub: Hub
    repository: Repository
    summary: str = ""
    description: str = ""
    parent: str | None = None
    put: dict[str, str] = field(default_factory=dict)  # path -> git blob
    deleted: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def line(self, raw: bytes) -> None:
        """Take one line. Raises Refused."""
        try:
            said = read_json(raw)
            key, value = said["key"], said["value"]
            taken = {
                "header": self._header, "file": self._file, "lfsFile": self._large,
                "deletedFile": self._deleted, "deletedFolder": self._folder,
            }[key]  # fmt: skip
            taken(value)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Refused(400, f"A line of the commit cannot be read: {error!r}") from error
        most = self.hub.limits.changes
        if len(self.put) + len(self.deleted) + len(self.folders) > most:
            raise Refused(413, f"A commit changes at most {most} files")

    def _header(self, value: dict[str, Any]) -> None:
        self.summary, self.description = str(value["summary"]), str(value.get("description") or "")
        if len(self.summary) + len(self.description) > self.hub.limits.message:
            most = self.hub.limits.message
            raise Refused(413, f"A commit's message has at most {most} characters")
        self.parent = value.get("parentCommit")
        if self.parent is not None and not HEX40.fullmatch(str(self.parent)):
            raise Refused(400, f"parentCommit {self.parent!r} is no full commit id")

    def _file(self, value: dict[str, Any]) -> None:
        content = value["content"]
        if value.get("encoding", "base64") == "base64":
            data = base64.b64decode(content, validate=True)
        else:
            data = content.encode()
        most = self.hub.limits.regular
        if len(data) > most:
            raise Refused(413, f"{value['path']}: files over {most} bytes go by LFS")
        ask_room(self.hub, self.repository, len(data))
        if pointed(data):  # it would open another repository's blob to whoever knows its sha256
            raise Refused(
                400, f"{value['path']}: a git-lfs pointer is no file: upload what it means"
            )
        self.put[_safe(value["path"])] = self.repository.objects.write("blob", data)

    def _large(self, value: dict[str, Any]) -> None:
        digest = str(value["oid"])
        size = self.repository.granted(digest) if len(digest) == 64 and digest.isalnum() else None
        if size is None or value.get("algo", "sha256") != "sha256":
            raise Refused(400, f"{value['path']}: {digest} was not uploaded to this repository")
        pointer = Large(digest, size).pointer
        self.put[_safe(value["path"])] = self.repository.objects.write("blob", pointer)

    def _deleted(self, value: dict[str, Any]) -> None:
        self.deleted.add(str(value["path"]))

    def _folder(self, value: dict[str, Any]) -> None:
        self.folders.add(str(value["path"]).rstrip("/"))

    def applied(self, files: dict[str, str]) -> dict[str, str]:
        """The files after this commit. Raises Refused."""
        inside = {folder for path in files for folder in folders_of(path)}
        self.folders |= self.deleted & inside
        for path in self.deleted - inside:
            if path not in files:
                raise Refused(404, f"{path} cannot be deleted: it does not exist", "EntryNotFound")
        kept = {
            path: blob
            for path, blob in files.items()
            if path not in self.deleted and self.folders.isdisjoint(folders_of(path))
        }
        kept.update(self.put)
        both = clash(kept)
        if both:
            raise Refused(400, f"{both[0]!r} and {both[1]!r} would be one file on some systems")
        if len(kept) > self.hub.limits.files:
            raise Refused(413, f"A repository has at most {self.hub.limits.files} files")
        return kept


def folders_of(path: str) -> list[str]:
    """All folders that a file lies in: "a", "a/b" of "a/b/c.txt"."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def preupload(call: Call) -> Response:
    """Which way each file goes, and what stands there now."""
    commit = call.repository.find(call.args["rev"])
    asked = call.json()
    files = asked.get("files")
    if not isinstance(files, list) or len(files) > call.hub.limits.batch:
        raise Refused(400, f"`files` must be a list of at most {call.hub.limits.batch}")
    rules = asked.get("gitIgnore")
    left_out = ignoring(rules if isinstance(rules, str) else _own_rules(call.repository, commit))
    rows = []
    for each in files:
        try:
            path, size = _safe(each["path"]), int(each["size"])
            sample = base64.b64decode(each.get("sample") or "", validate=True)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise Refused(400, f"A file needs path, size and sample: {error!r}") from error
        large = size > TEXT_AT_MOST or path.lower().endswith(LARGE) or b"\0" in sample
        row: dict[str, Any] = {
            "path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": left_out(path),
        }  # fmt: skip
        standing = _standing(call, commit, path) if commit else None
        if standing:
            row["oid"] = standing
        rows.append(row)
    return answered({"files": rows, "commitOid": commit})


def _standing(call: Call, commit: str, path: str) -> str | None:
    """The ETag of a file that is there; a damaged or missing one is to be sent again."""
    blob = call.repository.blob_at(commit, path)
    if blob is None:
        return None
    try:
        entry = call.repository.entry(path, blob)
    except HubError:
        return None
    if entry.large and not call.hub.store.has(entry.large):
        return None
    return entry.etag


def _own_rules(repository: Repository, commit: str | None) -> str:
    """The .gitignore that the repository has itself."""
    blob = repository.blob_at(commit, ".gitignore") if commit else None
    return repository.objects.of_kind(blob, "blob").decode("utf-8", "replace") if blob else ""


async def commit(call: Call) -> Response:
    """Read the changes as they come, then commit them."""
    changes = Changes(call.hub, call.repository)
    await each_line(call, changes.line)
    if not changes.summary:
        raise Refused(400, "A commit needs a header with a summary")
    return await call.work(finish, call, changes)


async def each_line(call: Call, take: Callable[[bytes], None]) -> None:
    """Hand over the body line by line, none longer than the largest file that may come."""
    longest, held = call.hub.limits.regular * 4 // 3 + 100_000, b""
    async for batch in call.batches(call.hub.limits.commit):
        *lines, held = (held + batch).split(b"\n")
        if len(held) > longest:
            raise Refused(413, f"A line of the commit has more than {longest} bytes")
        for line in filter(None, lines):
            await call.work(take, line)
    if held.strip():
        await call.work(take, held)


def finish(call: Call, changes: Changes) -> Response:
    """Write the commit on the head as it is now, and move the branch."""
    repository, revision = call.repository, call.args["rev"]
    proposed = call.request.query_params.get("create_pr") in ("1", "true", "True")
    message = f"{changes.summary}\n\n{changes.description}".strip()
    problem = path_problem(revision) if revision.startswith(PULLS) else ref_problem(revision)
    if problem:
        raise Refused(404, f"Invalid rev id: {revision}: {problem}", "RevisionNotFound")
    with repository.lock:
        ref = revision if revision.startswith(PULLS) else HEADS + revision
        head = repository.ref(ref)
        if proposed:
            at = changes.parent or commit_of(call)
        elif head is None:
            raise Refused(404, f"Invalid rev id: {revision} is no branch", "RevisionNotFound")
        else:
            at = head
            if changes.parent and changes.parent != head:
                raise Refused(412, CHANGED)
        before = repository.objects.flat(repository.commit(at).tree)
        made = at
        after = changes.applied(before)
        if proposed:
            number = opened(call, changes.summary, changes.description, "open", at)
            ref, head = f"{PULLS}{number}", None
        if after != before or proposed:
            made = repository.write_commit(after, at, call.author, message)
            repository.move_ref(ref, head, made)
    page = call.page(repository)
    facts = {"success": True, "commitOid": made, "commitUrl": f"{page}/commit/{made}"}
    if proposed:
        facts["pullRequestUrl"] = f"{page}/discussions/{ref[len(PULLS) :]}"
    return answered(facts)


def _safe(path: Any) -> str:
    problem = path_problem(path) if isinstance(path, str) else "it is no text"
    if problem:
        raise Refused(422, f"The path {path!r} may not be committed: {problem}")
    return str(path)


_R = "api/{kind}/{org}/{name}"
ROUTES = (
    Route("POST", f"{_R}/preupload/{{rev}}", "write", preupload),
    Route("POST", f"{_R}/commit/{{rev}}", "write", commit, streams=True),
)
