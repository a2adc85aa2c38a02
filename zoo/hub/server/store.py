"""All repositories and blobs of one folder; what is in memory can be read again from the disk.

hub.json                 layout version and the id of this store
secret                   signs links; 0600
tokens.json              sha256 of each token; 0600
blobs/ab/SHA256          files too large for git, one copy however many repositories use them
partial/                 what is being written; emptied when the server starts
repositories/            see `repository`
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import BinaryIO

from zoo.errors import HubError
from zoo.hub.paths import name_problem
from zoo.hub.server.files import Bucket, Disk, Files, ReadOnly, made, synced
from zoo.hub.server.objects import Large
from zoo.hub.server.repository import MAIN, Repository

LAYOUT = 1
KINDS = ("models", "datasets", "spaces", "kernels")
_HEX = re.compile(r"[0-9a-f]{64}")
ATTRIBUTES = "".join(
    f"{mask} filter=lfs diff=lfs merge=lfs -text\n"
    for mask in ("*.safetensors", "*.bin", "*.npz", "*.png", "*.gz", "*.zip", "*.parquet")
)


class Incoming:
    """A blob on its way in: written, hashed and counted as it comes; whole and right, or nothing."""

    def __init__(self, disk: Disk, expected: Large | None, limit: int) -> None:
        self.disk, self.expected = disk, expected
        self.limit = expected.size if expected else limit
        self.path = disk.path(f"partial/{secrets.token_hex(16)}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.path.open("xb")
        self.hash, self.size = sha256(), 0

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises HubError beyond the size that was announced."""
        self.size += len(data)
        if self.size > self.limit:
            raise HubError(f"more than the {self.limit} bytes that may come here")
        self.hash.update(data)
        self.file.write(data)

    def finish(self) -> Large:
        """Check size and sha256 and give the blob its name. Raises HubError."""
        large = Large(self.hash.hexdigest(), self.size)
        if self.expected and large != self.expected:
            raise HubError(
                f"{self.expected.size} bytes with sha256 {self.expected.sha256} were announced, "
                f"{large.size} bytes with sha256 {large.sha256} came: send the file again"
            )
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.path.chmod(0o444)
        self.disk.adopt(self.path, blob_name(large.sha256))
        return large

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)


def blob_name(digest: str) -> str:
    """Where a blob lies in the store."""
    if not _HEX.fullmatch(digest):
        raise HubError(f"{digest!r} is no sha256.")
    return f"blobs/{digest[:2]}/{digest}"


class Store:
    """A hub's folder."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._locks: defaultdict[str, RLock] = defaultdict(RLock)
        self._open: dict[str, Repository] = {}
        self.lock = RLock()
        try:
            facts = json.loads(files.read("hub.json"))
        except FileNotFoundError:
            facts = {"layout": LAYOUT, "store": secrets.token_hex(16)}
            files.write("hub.json", json.dumps(facts).encode())
        if facts.get("layout") != LAYOUT:
            raise HubError(
                f"This hub's folder has layout {facts.get('layout')!r}, this genzoo reads {LAYOUT}: "
                "install the version that wrote it."
            )
        self.id = str(facts["store"])
        self.secret = self._secret()

    @classmethod
    def at(cls, where: str | Path) -> Store:
        """Open or create the hub in a folder, or open the one below a URL read-only."""
        if isinstance(where, str) and "://" in where:
            return cls(Bucket(where))
        root = Path(where).expanduser().resolve()
        inside = {each.name for each in root.iterdir()} if root.is_dir() else set()
        if inside - {"partial"} and "hub.json" not in inside:
            raise HubError(f"{root} holds something that is no hub: name an empty or new folder.")
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(Disk(root))

    @property
    def disk(self) -> Disk:
        """The folder, to write in. Raises ReadOnly."""
        if not isinstance(self.files, Disk):
            raise ReadOnly("This hub is served read-only: push to the one it was copied from.")
        return self.files

    def _secret(self) -> bytes:
        if not self.files.writable:
            return secrets.token_bytes(32)
        try:
            return self.files.read("secret")
        except FileNotFoundError:
            self.files.write("secret", secrets.token_bytes(32), secret=True)
            return self.files.read("secret")

    def sweep(self, older: float = 0.0) -> int:
        """Delete what was being written `older` seconds ago, before a kill; how many files."""
        folder = self.disk.path("partial")
        before = time.time() - older
        left = [
            each for each in folder.glob("*" if older == 0.0 else "*.parts")
            if older == 0.0 or each.stat().st_mtime < before
        ]  # fmt: skip
        for each in left:
            if each.is_dir():
                shutil.rmtree(each)
            else:
                each.unlink()
        return len(left)

    # repositories

    def repository(self, kind: str, name: str) -> Repository | None:
        """A repository by its exact name, or None."""
        key = f"{kind}/{name}"
        if kind not in KINDS or any(name_problem(part) for part in name.split("/")):
            return None
        found = self._open.get(key)
        if found is None and self.files.size(f"repositories/{key}/zoo.json") is not None:
            with self.lock:  # one object a repository: what it remembers must hold for all
                found = self._open.get(key)
                if found is None:
                    try:
                        found = Repository(self.files, kind, name, self._locks[key])
                    except FileNotFoundError:
                        return None
                    self._open[key] = found
        return found

    def named(self, kind: str, name: str) -> Repository | None:
        """A repository by its name in whatever case, or None."""
        found = self.repository(kind, name)
        if found is None and kind in KINDS and not any(map(name_problem, name.split("/"))):
            namesake = self.namesake(kind, name)
            found = self.repository(kind, namesake) if namesake else None
        return found

    def names(self, kind: str) -> Iterator[str]:
        """Names of all repositories of a kind, sorted; one may be gone when it is asked for."""
        for namespace in self.files.names(f"repositories/{kind}"):
            for name in self.files.names(f"repositories/{kind}/{namespace}"):
                yield f"{namespace}/{name}"

    def repositories(self, kind: str) -> Iterator[Repository]:
        """All repositories of a kind, sorted by name. Raises HubError for a damaged one."""
        for name in self.names(kind):
            found = self.repository(kind, name)
            if found:
                yield found

    def namesake(self, kind: str, name: str) -> str | None:
        """An existing repository whose name differs in case at most."""
        wanted = name.lower().split("/")
        for namespace in self.files.names(f"repositories/{kind}"):
            if namespace.lower() == wanted[0]:
                for each in self.files.names(f"repositories/{kind}/{namespace}"):
                    folder = f"repositories/{kind}/{namespace}/{each}"
                    if each.lower() == wanted[1] and self.files.size(f"{folder}/zoo.json"):
                        return f"{namespace}/{each}"
        return None

    def create(self, kind: str, name: str, private: bool, author: str) -> Repository:
        """A new repository with one commit. The caller has checked the name and that it is free."""
        folder = f"partial/new-{secrets.token_hex(16)}"
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        facts = {"id": secrets.token_hex(16), "private": private, "created": now}
        self.files.write(f"{folder}/HEAD", f"ref: {MAIN}\n".encode())
        config = b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
        self.files.write(f"{folder}/config", config)
        self.files.write(f"{folder}/zoo.json", json.dumps(facts).encode())
        repository = Repository(self.files, kind, name, self._locks[f"{kind}/{name}"], folder)
        blob = repository.objects.write("blob", ATTRIBUTES.encode())
        first = repository.write_commit({".gitattributes": blob}, None, author, "initial commit")
        repository.move_ref(MAIN, None, first)
        self._place(folder, f"repositories/{kind}/{name}")
        return Repository(self.files, kind, name, self._locks[f"{kind}/{name}"])

    def delete(self, repository: Repository) -> None:
        """Remove a repository; its blobs stay until `zoo hub tidy`."""
        removed = f"partial/deleted-{secrets.token_hex(16)}"
        self._move(repository, removed)
        shutil.rmtree(self.disk.path(removed))

    def rename(self, repository: Repository, name: str) -> None:
        """Give a repository a name that is free."""
        self._move(repository, f"repositories/{repository.kind}/{name}")

    def _move(self, repository: Repository, folder: str) -> None:
        with self.lock, repository.lock:  # whoever waits for it then finds `gone`
            self._place(repository.folder, folder)
            repository.gone = True
            self._open.pop(f"{repository.kind}/{repository.name}", None)

    def _place(self, source: str, folder: str) -> None:
        """Rename a whole repository; what lies there without a zoo.json is a late write's debris."""
        target = self.disk.path(folder)
        for parent in (target.parent, self.disk.path("partial")):
            made(parent)
        if target.is_dir():
            target.rename(self.disk.path(f"partial/debris-{secrets.token_hex(16)}"))
        self.disk.path(source).rename(target)
        synced(target.parent)

    # blobs

    def incoming(self, expected: Large | None, limit: int) -> Incoming:
        """A blob to be written. A context manager: leaving without `finish` leaves nothing."""
        return Incoming(self.disk, expected, limit)

    def blob(self, large: Large) -> BinaryIO:
        """A blob's stream. Raises HubError when it is missing."""
        try:
            return self.files.open(blob_name(large.sha256))
        except FileNotFoundError:
            raise HubError(f"blob {large.sha256} is missing from this hub's folder.") from None

    def has(self, large: Large) -> bool:
        """Whether a blob is here, in its whole size."""
        return self.files.size(blob_name(large.sha256)) == large.size
