"""The folder that a hub lives in, as a few operations; a write appears whole or not at all.

Names are relative, with "/", made by this package from checked names and hex digits only.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from zoo.errors import HubError


class ReadOnly(HubError):
    """The hub's folder cannot be written: it is a bucket, or mounted read-only."""


class Files(Protocol):
    """What the rest of the server asks of a place."""

    writable: bool

    def read(self, name: str) -> bytes:
        """All bytes. Raises FileNotFoundError."""
        ...

    def open(self, name: str) -> BinaryIO:
        """A seekable stream. Raises FileNotFoundError."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of a file, None where there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names in a folder, sorted; none where there is no folder."""
        ...

    def write(self, name: str, data: bytes, secret: bool = False) -> None:
        """Replace a file, all or nothing, on the disk when this returns; `secret`: for us alone."""
        ...

    def remove(self, name: str) -> None:
        """Delete a file if it is there, and folders that became empty."""
        ...


class Disk:
    """A folder of this machine."""

    writable = True

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """Where a name lies."""
        return self.root / name

    def read(self, name: str) -> bytes:
        return self.path(name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        return self.path(name).open("rb")

    def size(self, name: str) -> int | None:
        try:
            status = self.path(name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(each.name for each in self.path(folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def write(self, name: str, data: bytes, secret: bool = False) -> None:
        unfinished = self.path(f"partial/{secrets.token_hex(16)}")
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o600 if secret else 0o644
        try:
            with open(unfinished, "xb", opener=lambda path, how: os.open(path, how, mode)) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self.adopt(unfinished, name)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def adopt(self, finished: Path, name: str) -> None:
        """Move a finished, synced file to its name."""
        target = self.path(name)
        moved = False
        while not moved:
            try:
                made(target.parent)
                finished.replace(target)
                moved = True
            except FileNotFoundError:  # `remove` took a folder that was empty until now
                if not finished.exists():
                    raise
        with suppress(FileNotFoundError):  # the file has been removed since, and its folder
            synced(target.parent)

    def remove(self, name: str) -> None:
        path = self.path(name)
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.root:
                break
            try:
                folder.rmdir()
            except OSError:  # it is not empty, or gone
                break


def made(folder: Path) -> None:
    """Make a folder and those above it; their names are on the disk when this returns."""
    if not folder.is_dir():
        made(folder.parent)
        folder.mkdir(exist_ok=True)
        synced(folder.parent)


def synced(folder: Path) -> None:
    """A rename must itself reach the disk; Windows has no such call."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Bucket:
    """A place that fsspec reads, `s3://bucket/prefix` or `https://host/prefix`; never written.

    It may be written by others meanwhile: listings are never remembered. Whoever copies a hub there
    copies `blobs` and `objects` before `refs`, and a reader sees the old or the new.
    """

    writable = False
    block = 8 << 20  # bytes read ahead for one download

    def __init__(self, url: str) -> None:
        try:
            import fsspec

            self.system, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise HubError(
                f"{url} cannot be read: {error}. `pip install 'genzoo[bucket]'` brings fsspec and "
                "s3fs; other protocols have packages of their own."
            ) from error
        self.root = str(root).rstrip("/")

    def read(self, name: str) -> bytes:
        return cast(bytes, self.system.cat_file(f"{self.root}/{name}"))

    def open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self.system.open(f"{self.root}/{name}", "rb", block_size=self.block))

    def size(self, name: str) -> int | None:
        try:
            facts = self.system.info(f"{self.root}/{name}")
        except FileNotFoundError:
            return None
        return int(facts["size"]) if facts["type"] == "file" else None

    def names(self, folder: str) -> list[str]:
        try:
            found = self.system.ls(f"{self.root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(each).rstrip("/").rsplit("/", 1)[1] for each in found)

    def write(self, name: str, data: bytes, secret: bool = False) -> None:
        raise ReadOnly(f"{self.root} is served read-only: push to the hub it was copied from.")

    def remove(self, name: str) -> None:
        raise ReadOnly(f"{self.root} is served read-only: delete on the hub it was copied from.")
