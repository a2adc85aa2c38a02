"""A file at a revision, whole or a range of it (RFC 9110, sections 13 and 14).

The ETag is the sha256 of a large file and the git id of a small one; the commit that a revision
means is named on every answer, a 404 included, so that one load can stay on one commit.
"""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from typing import BinaryIO
from urllib.parse import quote

import anyio
from starlette.responses import Response, StreamingResponse

from zoo.hub.server.repository import Entry, Repository
from zoo.hub.server.routing import Call, Refused, Route

PICTURES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp",
            "gif": "image/gif"}  # all that a browser is told; never SVG or HTML  # fmt: skip
PIECE = 1 << 20  # bytes in memory for one download
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def commit_of(call: Call, revision: str | None = None) -> str:
    """The commit of the route's revision. Raises Refused as clients expect."""
    revision = call.args.get("rev", "main") if revision is None else revision
    commit = call.repository.find(revision)
    if commit is None:
        raise Refused(
            404, f"Revision {revision} not found in {call.repository.name}", "RevisionNotFound"
        )
    return commit


def resolve(call: Call) -> Response:
    """GET and HEAD of a file."""
    commit = commit_of(call)
    path = call.args["path"]
    blob = call.repository.blob_at(commit, path)
    if blob is None:
        message = f"{path} is not in {call.repository.name} at {call.args['rev']}"
        raise Refused(404, message, "EntryNotFound", X_Repo_Commit=commit)
    entry = call.repository.entry(path, blob)
    name = quote(path.rsplit("/", 1)[-1])
    headers = {
        "X-Repo-Commit": commit,
        "ETag": f'"{entry.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if entry.large:
        headers["X-Linked-Etag"] = f'"{entry.etag}"'
        headers["X-Linked-Size"] = str(entry.size)
    start, stop = 0, entry.size
    status = 200
    known = call.request.headers.get("if-none-match", "")
    if headers["ETag"] in [each.strip().removeprefix("W/") for each in known.split(",")]:
        return Response(status_code=304, headers=headers)
    whole = call.request.method == "HEAD"  # RFC 9110: a range is GET's alone
    if not whole and call.request.headers.get("if-range", headers["ETag"]) == headers["ETag"]:
        wanted = _range(call.request.headers.get("range"), entry.size)
        if wanted:
            (start, stop), status = wanted, 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{entry.size}"
    headers["Content-Length"] = str(stop - start)
    if call.request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    stream = opened(call, call.repository, entry)
    stream.seek(start)
    kind = PICTURES.get(path.rpartition(".")[2].lower(), "application/octet-stream")
    return StreamingResponse(_pieces(stream, stop - start), status, headers, kind)


def opened(call: Call, repository: Repository, entry: Entry) -> BinaryIO:
    """The bytes of a file."""
    if entry.large:
        return call.hub.store.blob(entry.large)
    return io.BytesIO(repository.objects.of_kind(entry.oid, "blob"))


def _range(text: str | None, size: int) -> tuple[int, int] | None:
    """[start, stop) of a Range header with one range; None for all bytes, as the RFC allows."""
    match = _RANGE.fullmatch(text or "")
    if not match or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, stop = max(0, size - int(match[2])), size
    else:
        start, stop = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
    if start >= size or start >= stop:
        raise Refused(416, f"The file has {size} bytes", None, Content_Range=f"bytes */{size}")
    return start, stop


async def _pieces(stream: BinaryIO, left: int) -> AsyncIterator[bytes]:
    try:
        while left:
            piece = await anyio.to_thread.run_sync(stream.read, min(left, PIECE))
            if not piece:
                return  # shorter than promised: the client sees a broken body, not a whole one
            left -= len(piece)
            yield piece
    finally:
        stream.close()


ROUTES = tuple(
    Route("GET", f"{prefix}{{org}}/{{name}}/{verb}/{{rev}}/{{*path}}", "read", resolve)
    for prefix in ("{kind}/", "")
    for verb in ("resolve", "raw")
)
