"""A file of known sha256 and size from a URL into the store's blobs: whole and right, or not at all.

    blobs/ab/SHA256    a finished file, read-only, shared by all models that hold it

The sha256 is computed of what is written, as it is written; a file gets its name after that and an
fsync. What a killed process left (`zoo.hub.partial`) is taken over by the next, which asks for the
rest by Range (RFC 9110, section 14). Where two fetch the same file, the one that has less waits while
the other grows; if it stops growing, both go on, which costs bytes and nothing else.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from hashlib import file_digest
from pathlib import Path
from typing import Any

from zoo.errors import HubError
from zoo.hub.home import home, stores
from zoo.hub.offline import refuse_offline
from zoo.hub.partial import PIECE, Partial, others, sweep
from zoo.progress import counted

SPARE = 64 << 20  # bytes of the disk that stay free
TRIES, SILENCE = 5, 30.0  # attempts in a row that bring nothing; seconds without a byte
PAUSE = 0.2  # seconds before the second attempt; doubled for each that follows
PATIENCE = 2.0  # seconds for which another's partial may stand still
RETRIED = (408, 425, 429, 500, 502, 503, 504)
BROKEN = (http.client.HTTPException, OSError)  # URLError and timeouts are OSErrors
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Only to the web, and a token goes to no other host and to no weaker transport."""

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str
    ) -> Any:
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None and made.type not in ("http", "https"):
            raise HubError(f"{req.full_url} leads to {newurl}, which is no web address.")
        if made is not None and (made.type, made.host) != (req.type, req.host):
            made.remove_header("Authorization")
        return made


def blob(digest: str, store: Path | None = None) -> Path:
    """Where the file of a sha256 lies in a store, or would; in this machine's own by default."""
    return (store or home()) / "blobs" / digest[:2] / digest


def here(digest: str, size: int) -> Path | None:
    """The file of a sha256 if some store has it, not checked beyond its size."""
    for store in stores():
        path = blob(digest, store)
        if path.is_file() and path.stat().st_size == size:
            return path
    return None


def sha256_of(path: Path) -> str:
    """The sha256 of a file, read again. Raises OSError."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def refuse_full(missing: int) -> None:
    """Raise HubError unless the store's disk has room for so many bytes more."""
    folder = next(each for each in (home(), *home().parents) if each.exists())
    free = shutil.disk_usage(folder).free
    if free < missing + SPARE:
        raise HubError(
            f"{missing} bytes are to come and {free} are free below {folder} ({SPARE} stay free): make "
            "room, delete what no model uses with `zoo hub gc`, or set ZOO_HOME to another disk."
        )


def fetch(url: str, digest: str, size: int, token: str | None = None) -> Path:
    """The file of a sha256, from a store whose bytes still have it, or downloaded.

    Raises HubError.
    """
    found = here(digest, size)
    if found is not None:
        if sha256_of(found) == digest:
            if found == blob(digest):
                with suppress(PermissionError):  # somebody else's, who alone may collect it
                    os.utime(found)  # `collect` spares what was wanted lately
            return found
        if found == blob(digest):
            found.unlink(missing_ok=True)
    refuse_offline(f"Fetching {url}")
    return take(digest, size, url, lambda start: pieces(url, start, size, token))


def take(digest: str, size: int, source: str, stream: Callable[[int], Iterable[bytes]]) -> Path:
    """Write the file of a sha256 from a stream that can begin at any byte. Raises HubError."""
    done = blob(digest)
    try:
        sweep(lambda each: blob(each).exists())
        refuse_full(size)
        partial = Partial(digest, size)
        try:
            if _comes_from_another(partial, done):
                return done
            partial.inherit()
            for again in (False, True):  # a partial that was damaged on this disk is worth one more
                _fill(partial, source, stream)
                if partial.hash.hexdigest() == digest:
                    break
                partial.restart()
                if again:
                    raise HubError(
                        f"{source}: the bytes that came have another sha256 than {digest}, twice. The "
                        "file on that hub, or the way to it, is damaged: try another hub."
                    )
            partial.publish(done)
        finally:
            partial.close(keep=True)
    except OSError as error:
        raise HubError(
            f"{home()} cannot be written: {error}. Set ZOO_HOME to a folder that can."
        ) from error
    return done


def _comes_from_another(partial: Partial, done: Path) -> bool:
    """Wait while somebody else's partial of the same file grows; whether it was finished."""
    seen: dict[Path, tuple[int, float]] = {}
    while True:
        growing = False
        for each in others(partial.path):
            try:
                size = each.stat().st_size
            except FileNotFoundError:
                continue
            if size == 0 and each.name.split(".")[3] > partial.begun:
                continue  # both have nothing yet, and I came first
            before, since = seen.get(each, (-1, 0.0))
            if size > before:
                seen[each] = (size, time.monotonic())
                growing = True
            elif time.monotonic() - since < PATIENCE:
                growing = True
        if done.is_file() and done.stat().st_size == partial.size:
            return True
        if not growing:
            return False
        time.sleep(0.05)


def _fill(partial: Partial, source: str, stream: Callable[[int], Iterable[bytes]]) -> None:
    """Bring a partial to its size."""
    fruitless, why = 0, ""
    while partial.length < partial.size:
        before = partial.length
        try:
            with counted(partial.size, before, f"pull {partial.path.name[:8]}") as bar:
                for piece in stream(before):
                    partial.write(piece)
                    bar(len(piece))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in RETRIED:
                raise HubError(f"{source}: the hub answers {error.code} {error.reason}.") from error
            why = str(error)
        except BROKEN as error:
            if isinstance(error, OSError) and error.errno in DISK:
                raise
            why = str(error) or type(error).__name__
        fruitless = fruitless + 1 if partial.length == before else 0
        if fruitless == TRIES:
            raise HubError(
                f"{source}: {partial.length} of {partial.size} bytes came, then {TRIES} attempts brought "
                f"nothing: {why or 'the body ended'}. Ask again: what came is kept."
            )
        if fruitless:
            time.sleep(PAUSE * 2 ** (fruitless - 1))


def pieces(url: str, start: int, size: int, token: str | None) -> Iterator[bytes]:
    """The bytes from `start` on, never more than `size` together."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "genzoo"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    with _opener().open(request, timeout=SILENCE) as answer:
        told = answer.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", told)
        if answer.status == 206 and (not match or int(match[1]) != start):
            raise HubError(f"{url}: asked for bytes from {start}, got {told!r}.")
        skip = 0 if answer.status == 206 else start  # a server without ranges sends all again
        left = size - start
        while left and (piece := answer.read1(PIECE)):
            skipped = min(skip, len(piece))
            skip -= skipped
            piece = piece[skipped : skipped + left]
            left -= len(piece)
            if piece:
                yield piece


@cache
def _opener() -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    if not context.get_ca_certs() and not os.environ.get("SSL_CERT_FILE"):
        import certifi  # a Python whose own list is empty, as on macOS; huggingface_hub needs it too

        context.load_verify_locations(certifi.where())
    return urllib.request.build_opener(_Redirects, urllib.request.HTTPSHandler(context=context))


def unused(used: Callable[[str], bool]) -> list[Path]:
    """Files of the own store that no model uses."""
    found = sorted((home() / "blobs").glob("??/*"))
    return [path for path in found if path != blob(path.name) or not used(path.name)]
