r"""Git objects with git's own ids, loose, in git's own places: `git fsck` reads what stands here.

An object is "KIND SIZE\0DATA"; its id is the SHA-1 of that, its file the zlib of that. A tree is a
list of "MODE NAME\0ID"; files too large for git are blobs that hold a pointer to a sha256 (git-lfs).
Source: the formats' descriptions in git's and git-lfs's own documentation.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1

from zoo.errors import HubError
from zoo.hub.server.files import Files

FILE, FOLDER = "100644", "40000"
LARGEST = 64 << 20  # bytes of one object; regular files are far smaller
HEX40 = re.compile(r"[0-9a-f]{40}")
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n"
)


@dataclass(frozen=True)
class Large:
    """What a pointer points to."""

    sha256: str
    size: int  # bytes

    @property
    def pointer(self) -> bytes:
        """The blob that stands for it in git."""
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\n"
            f"size {self.size}\n"
        ).encode()


def pointed(data: bytes) -> Large | None:
    """What a blob points to, or None if it is no pointer."""
    match = _POINTER.fullmatch(data)
    return Large(match[1].decode(), int(match[2])) if match else None


def object_id(kind: str, data: bytes) -> str:
    """The id that git gives."""
    return sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


class Objects:
    """The objects of one repository."""

    def __init__(self, files: Files, folder: str) -> None:
        self.files, self.folder = files, folder
        self._used: int | None = None

    def _name(self, oid: str) -> str:
        if not HEX40.fullmatch(oid):
            raise HubError(f"{oid!r} is no id of a git object.")
        return f"{self.folder}/objects/{oid[:2]}/{oid[2:]}"

    def __contains__(self, oid: str) -> bool:
        return bool(HEX40.fullmatch(oid)) and self.files.size(self._name(oid)) is not None

    def write(self, kind: str, data: bytes) -> str:
        """Store an object; its id."""
        oid = object_id(kind, data)
        if oid not in self:
            packed = zlib.compress(f"{kind} {len(data)}\0".encode() + data, 1)
            self.files.write(self._name(oid), packed)
            if self._used is not None:
                self._used += len(packed)
        return oid

    def used(self) -> int:
        """Bytes of all objects, those that no commit reaches included."""
        if self._used is None:
            names = [
                f"{self.folder}/objects/{start}/{rest}"
                for start in self.files.names(f"{self.folder}/objects")
                for rest in self.files.names(f"{self.folder}/objects/{start}")
            ]
            self._used = sum(self.files.size(name) or 0 for name in names)
        return self._used

    def read(self, oid: str) -> tuple[str, bytes]:
        """Kind and data, its id checked. Raises HubError for an object that is not what its name says."""
        inflate = zlib.decompressobj()
        try:
            raw = inflate.decompress(self.files.read(self._name(oid)), LARGEST + 64)
        except (FileNotFoundError, zlib.error) as error:
            raise HubError(
                f"{self.folder}: object {oid} is missing or damaged: {error}."
            ) from error
        head, _, data = raw.partition(b"\0")
        kind = head.split(b" ")[0].decode("ascii", "replace")
        if object_id(kind, data) != oid:
            raise HubError(f"{self.folder}: object {oid} is damaged; restore it from a copy.")
        return kind, data

    def of_kind(self, oid: str, kind: str) -> bytes:
        """The data of an object that must be of a kind."""
        found, data = self.read(oid)
        if found != kind:
            raise HubError(f"{self.folder}: object {oid} is a {found}, not a {kind}.")
        return data

    def folder_entries(self, oid: str) -> list[tuple[str, str, str]]:
        """(mode, name, id) of each entry of a tree."""
        data, entries, at = self.of_kind(oid, "tree"), [], 0
        while at < len(data):
            zero = data.index(b"\0", at)
            mode, _, name = data[at:zero].partition(b" ")
            entries.append((mode.decode(), name.decode("utf-8"), data[zero + 1 : zero + 21].hex()))
            at = zero + 21
        return entries

    def flat(self, oid: str, under: str = "") -> dict[str, str]:
        """All files of a tree: path to blob."""
        found: dict[str, str] = {}
        for mode, name, child in self.folder_entries(oid):
            if mode == FOLDER:
                found.update(self.flat(child, f"{under}{name}/"))
            else:
                found[f"{under}{name}"] = child
        return found

    def write_tree(self, files: Mapping[str, str]) -> str:
        """Store the trees of {path: blob}; the id of the root."""
        here: dict[str, str] = {}
        below: dict[str, dict[str, str]] = {}
        for path, blob in files.items():
            first, slash, rest = path.partition("/")
            if slash:
                below.setdefault(first, {})[rest] = blob
            else:
                here[first] = blob
        entries = [(name.encode(), FILE, blob) for name, blob in here.items()]
        entries += [
            (name.encode() + b"/", FOLDER, self.write_tree(inner)) for name, inner in below.items()
        ]  # git sorts folders as if their names ended with a slash
        data = b"".join(
            mode.encode() + b" " + name.rstrip(b"/") + b"\0" + bytes.fromhex(oid)
            for name, mode, oid in sorted(entries)
        )
        return self.write("tree", data)
