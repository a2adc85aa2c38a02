"""Large files by git-lfs's batch protocol: whole (basic), in parts (multipart), and verify.

The batch answer holds signed addresses, since the client sends them no token. Bytes are hashed as
they are written; a blob gets its name when size and sha256 are what was announced. A blob that
another repository has must be sent again here: knowing a sha256 opens nothing. It is stored once.
Source: git-lfs's api/batch.md, and HUB.md of this project for the Hub's multipart.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any

from starlette.responses import Response

from zoo.errors import HubError
from zoo.hub.server.objects import Large
from zoo.hub.server.repository import Repository
from zoo.hub.server.room import free, no_room, room
from zoo.hub.server.routing import Call, Hub, Refused, Route, answered
from zoo.hub.server.tokens import sign, signed

UPLOAD, PARTS = "lfs upload", "lfs parts"
_HEX = re.compile(r"[0-9a-f]{64}")


def batch(call: Call) -> Response:
    """Where each object goes; no actions for what is there already."""
    asked = call.json()
    if asked.get("operation") != "upload":
        raise Refused(501, "Only uploads go by LFS here; files are downloaded from /resolve/")
    objects = asked.get("objects")
    if not isinstance(objects, list) or len(objects) > call.hub.limits.batch:
        raise Refused(400, f"`objects` must be a list of at most {call.hub.limits.batch}")
    wanted = [_large(each) for each in objects]
    rows, coming = [], 0
    waiting = _waiting(call, call.repository, {each.sha256 for each in wanted})
    used, space = call.repository.used() + call.repository.coming + waiting, free(call.hub)
    for large in wanted:
        row: dict[str, Any] = {"oid": large.sha256, "size": large.size}
        if not _there(call, large):
            coming += large.size
            problem = no_room(call.hub.limits, large.size, used + coming, space - coming)
            if problem:
                row["error"] = {"code": 507, "message": problem}
            else:
                row["actions"] = _actions(call, large, "multipart" in asked.get("transfers", ()))
        rows.append(row)
    headers = {"Content-Type": "application/vnd.git-lfs+json"}
    return answered({"transfer": "basic", "objects": rows, "hash_algo": "sha256"}, headers=headers)


def _large(value: Any) -> Large:
    try:
        large = Large(str(value["oid"]), int(value["size"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Refused(422, f"An object needs oid and size: {error!r}") from error
    if not _HEX.fullmatch(large.sha256) or not 0 <= large.size < 1 << 48:
        raise Refused(422, f"{large} is no sha256 with a size")
    return large


def _there(call: Call, large: Large) -> bool:
    return call.repository.granted(large.sha256) == large.size and call.hub.store.has(large)


def _actions(call: Call, large: Large, parts: bool) -> dict[str, Any]:
    limits, found = call.hub.limits, call.repository
    facts = {"kind": found.kind, "name": found.name, "id": found.id, "by": call.author,
             "oid": large.sha256, "size": large.size}  # fmt: skip
    verify = {"href": f"{call.page(found)}.git/info/lfs/objects/verify"}
    if not parts or large.size <= limits.multipart:
        address = sign(call.hub.store.secret, UPLOAD, limits.link, **facts)
        return {"upload": {"href": f"{call.base}/_lfs/whole/{address}"}, "verify": verify}
    count = ceil(large.size / limits.part)
    if count > limits.parts:
        raise Refused(413, f"{large.size} bytes are more than {limits.parts} parts")
    call.hub.store.sweep(older=limits.link)
    address = sign(call.hub.store.secret, PARTS, limits.link, **facts)
    urls = {
        str(number): f"{call.base}/_lfs/part/{number}/{address}" for number in range(1, count + 1)
    }
    href = f"{call.base}/_lfs/complete/{address}"
    return {"upload": {"href": href, "header": {"chunk_size": str(limits.part), **urls}},
            "verify": verify}  # fmt: skip


async def whole(call: Call) -> Response:
    """PUT of an object."""
    found, large = permitted(call.hub, UPLOAD, call.args["address"])
    async with room(
        call, found, large.size, await call.work(_waiting, call, found, {large.sha256})
    ):
        with call.hub.store.incoming(large, large.size) as incoming:
            await call.poured(large.size, lambda _, piece: incoming.write(piece))
            await call.work(_kept, found, incoming)
    return Response(status_code=200)


def _kept(found: Repository, incoming: Any) -> None:
    try:
        large = incoming.finish()
    except HubError as error:
        raise Refused(422, str(error)) from error
    found.grant(large)


async def part(call: Call) -> Response:
    """PUT of one part, written where it belongs in the whole."""
    found, large = _of_parts(call)
    number, limits = call.args["number"], call.hub.limits
    count = ceil(large.size / limits.part)
    if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= count:
        raise Refused(400, f"part {number} is none of 1 .. {count}")
    start = (int(number) - 1) * limits.part
    length = min(limits.part, large.size - start)
    async with room(call, found, length, await call.work(_waiting, call, found, {large.sha256})):
        path = _unfinished(call, found, large)
        seen = await call.poured(length, lambda at, piece: _write_at(path, start + at, piece))
    if seen != length:
        raise Refused(400, f"part {number} has {length} bytes, {seen} came")
    return Response(status_code=200, headers={"ETag": f'"{number}-{length}"'})


def complete(call: Call) -> Response:
    """All parts are there: hash the whole."""
    found, large = _of_parts(call)
    asked = call.json()
    count = ceil(large.size / call.hub.limits.part)
    numbers = [
        each.get("partNumber") for each in asked.get("parts") or [] if isinstance(each, dict)
    ]
    if asked.get("oid") != large.sha256 or sorted(numbers, key=str) != sorted(
        range(1, count + 1), key=str
    ):
        raise Refused(400, f"{large.sha256} needs the parts 1 .. {count}")
    path = _unfinished(call, found, large)
    try:
        with path.open("rb") as parts, call.hub.store.incoming(large, large.size) as incoming:
            while piece := parts.read(4 << 20):
                incoming.write(piece)
            _kept(found, incoming)
    except FileNotFoundError as error:
        raise Refused(400, "no part has come: begin the upload again") from error
    finally:
        path.unlink(missing_ok=True)
    return answered({})


def verify(call: Call) -> Response:
    """Whether an object has arrived."""
    large = _large(call.json())
    if not _there(call, large):
        raise Refused(404, f"{large.sha256} with {large.size} bytes is not here: upload it again")
    return answered({})


def permitted(hub: Hub, purpose: str, address: str) -> tuple[Repository, Large]:
    """What a signed address allows. Raises Refused."""
    facts = signed(hub.store.secret, purpose, address)
    if facts is None:
        raise Refused(403, "This upload's address is forged or too old: begin the upload again")
    found = hub.store.repository(facts["kind"], facts["name"])
    if found is None or found.id != facts["id"]:
        raise Refused(404, f"Repository {facts['name']} is gone", "RepoNotFound")
    return found, Large(facts["oid"], facts["size"])


def _of_parts(call: Call) -> tuple[Repository, Large]:
    return permitted(call.hub, PARTS, call.args["address"])


def _unfinished(call: Call, found: Repository, large: Large) -> Path:
    """Where the parts of a file are put together, also when its upload is begun again."""
    path = call.hub.store.disk.path(f"partial/{found.id}-{large.sha256}.parts")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _waiting(call: Call, found: Repository, but: set[str]) -> int:
    """Bytes that parts of a repository's files take, but of those that are asked about now."""
    taken = 0
    for each in call.hub.store.disk.path("partial").glob(f"{found.id}-*.parts"):
        with suppress(FileNotFoundError):  # it was put together meanwhile
            if each.stem.partition("-")[2] not in but:
                facts = each.stat()  # it has holes
                taken += min(getattr(facts, "st_blocks", 1 << 60) * 512, facts.st_size)
    return taken


def _write_at(path: Path, start: int, data: bytes) -> None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(handle, "r+b") as file:
        file.seek(start)
        file.write(data)


_R = "{org}/{name}.git/info/lfs/objects"
ROUTES = (
    *(Route("POST", f"{prefix}{_R}/batch", "write", batch) for prefix in ("{kind}/", "")),
    *(Route("POST", f"{prefix}{_R}/verify", "write", verify) for prefix in ("{kind}/", "")),
    Route("PUT", "_lfs/whole/{address}", "link", whole, streams=True),
    Route("PUT", "_lfs/part/{number}/{address}", "link", part, streams=True),
    Route("POST", "_lfs/complete/{address}", "link", complete, permits=_of_parts),
)
