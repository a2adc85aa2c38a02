"""Downloads that are not finished: whose they are, and what becomes of them when their writer dies.

    partial/SHA256.HOST.PID.BEGUN-NONCE.part    one writer's own file

A partial is written by the one who created it, under a name that nobody else can draw, and is never
appended to by another: whoever takes one over copies it, hashing as it goes, into a file of its
own. So no lock is needed for the bytes to be right (NFS and friends often have none that work), and
a writer that was thought dead but was only asleep does no harm. Host and process only tell whether
a partial is worth taking over yet.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from zoo.hub.home import home

if TYPE_CHECKING:
    from hashlib import _Hash

PIECE = 1 << 20  # bytes
STALE = 600.0  # seconds without a byte after which a writer elsewhere counts as dead
OLD = 86_400.0  # seconds after which a partial that nobody took over is deleted


class Partial:
    """A file of one's own for bytes to come, with the sha256 of what is in it."""

    def __init__(self, digest: str, size: int) -> None:
        folder = partials()
        folder.mkdir(parents=True, exist_ok=True)
        self.begun = f"{time.time_ns():020d}-{secrets.token_hex(8)}"
        owner = f"{_host()}.{os.getpid()}.{self.begun}"
        self.path = folder / f"{digest}.{owner}.part"
        self.size = size
        self.file: IO[Any] = self.path.open("xb")
        self.hash: _Hash = sha256()
        self.length = 0

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        self.file.write(piece)
        self.file.flush()  # what a killed process leaves is all that came
        self.hash.update(piece)
        self.length += len(piece)

    def inherit(self) -> None:
        """Begin with what a dead writer of the same file left, the longest first."""
        digest = self.path.name.partition(".")[0]
        left = []
        for each in partials().glob(f"{digest}.*.part"):
            if each != self.path and dead(each):
                try:
                    left.append((each.stat().st_size, each))
                except FileNotFoundError:  # another heir was quicker
                    continue
        for size, each in sorted(left, reverse=True):
            if self.length == 0 and 0 < size <= self.size:
                try:
                    with each.open("rb") as file:
                        while piece := file.read(PIECE):
                            self.write(piece[: self.size - self.length])
                except FileNotFoundError:
                    continue
            each.unlink(missing_ok=True)

    def restart(self) -> None:
        """Forget all bytes."""
        self.file.seek(0)
        self.file.truncate()
        self.hash, self.length = sha256(), 0

    def publish(self, target: Path) -> None:
        """Make the bytes durable and give them their name, replacing equal ones."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.path.chmod(0o444)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(target)

    def close(self, keep: bool) -> None:
        """Leave: what came is kept for the next try, or not."""
        if not self.file.closed:
            self.file.close()
        if not keep or self.length == 0:
            self.path.unlink(missing_ok=True)
        elif self.path.exists():
            # nobody's from now on, also while this process lives
            digest = self.path.name.partition(".")[0]
            self.path.rename(self.path.with_name(f"{digest}.nobody.0.{self.begun}.part"))


def partials() -> Path:
    """Where partials lie."""
    return home() / "partial"


def others(own: Path) -> Iterator[Path]:
    """Partials of the same file by writers that may be alive."""
    digest = own.name.partition(".")[0]
    for each in partials().glob(f"{digest}.*.part"):
        if each != own and not dead(each):
            yield each


def sweep(finished: Any) -> int:
    """Delete dead partials that nobody will want: old, or `finished(sha256)`; their bytes."""
    freed = 0
    for each in partials().glob("*.part"):
        try:
            facts = each.stat()
            if dead(each) and (
                finished(each.name.partition(".")[0]) or time.time() - facts.st_mtime > OLD
            ):
                each.unlink()
                freed += facts.st_size
        except FileNotFoundError:
            continue
    return freed


def dead(partial: Path) -> bool:
    """Whether whoever wrote a partial is gone, or has been silent for long."""
    _, host, pid, _, _ = (*partial.name.split("."), "", "", "", "")[:5]
    if host == "nobody":
        return True
    try:
        silent = time.time() - partial.stat().st_mtime
    except FileNotFoundError:
        return False
    if silent > STALE:
        return True
    if host != _host() or not pid.isdigit():
        return False
    return not _lives(int(pid))


def _lives(pid: int) -> bool:
    if os.name == "nt":
        return True  # signal 0 would end it there; STALE decides
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:64] or "host"
