"""Xet ingest: default clients of huggingface_hub 1.20 and later upload large files no other way.

A token, xorbs of chunks, then shards that say which chunks make which file. Files are rebuilt,
hashed and kept as plain blobs, so downloads need none of this. Where each chunk of a xorb now lies
(blob, offset) is remembered, because clients remember for good which chunks they sent to an
address, and later name them without sending them. That is why the address holds the repository's
id: a repository made anew under an old name, or a hub whose folder was replaced, is another address
to them. A xorb belongs to one repository; to know its hash opens nothing elsewhere.

    repositories/.../xet/HASH         of each chunk: size u32, offset u64, sha256 of the blob
                                      (zeros: still in the file beside it)
    repositories/.../xet/HASH.data    the chunks that are part of no blob yet
"""

from __future__ import annotations

import os
import secrets
import struct
import time
from typing import Any, BinaryIO

from starlette.responses import Response

from zoo.errors import HubError
from zoo.hub.server.objects import HEX40, Large
from zoo.hub.server.repository import Repository
from zoo.hub.server.room import ask_room, room
from zoo.hub.server.routing import Call, Hub, Refused, Route, answered
from zoo.hub.server.store import Store, blob_name
from zoo.hub.server.tokens import sign, signed
from zoo.hub.server.xet_format import Rebuilt, Segment, XorbReader, read_shard

PURPOSE = "xet write"
ROW = struct.Struct("<IQ32s")
NOWHERE = bytes(32)
OPEN = 16  # blobs that one segment's chunks may lie in are open at once


def write_token(call: Call) -> Response:
    """Where chunks go, and the permission to send them."""
    found, seconds = call.repository, call.hub.limits.link
    call.hub.store.disk  # noqa: B018  refuses a read-only hub
    facts = {"kind": found.kind, "name": found.name, "id": found.id, "by": call.author}
    token = sign(call.hub.store.secret, PURPOSE, seconds, **facts)
    until = int(time.time()) + seconds
    url = f"{call.base}/_cas-{call.hub.store.id[:16]}-{found.id[:16]}"
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": token,
        "X-Xet-Token-Expiration": str(until),
    }
    return answered({"casUrl": url, "accessToken": token, "exp": until}, headers=headers)


def permitted(call: Call) -> Repository:
    """The repository that the token of this request opens. Raises Refused."""
    token = call.request.headers.get("authorization", "").partition(" ")[2]
    facts = signed(call.hub.store.secret, PURPOSE, token)
    found = call.hub.store.repository(facts["kind"], facts["name"]) if facts else None
    if found is None or not facts or found.id != facts["id"]:
        raise Refused(401, "This Xet token is forged, too old, or its repository is gone")
    if call.args["cas"] != f"_cas-{call.hub.store.id[:16]}-{found.id[:16]}":
        raise Refused(401, "This Xet token is for another address")
    return found


def _key(found: Repository, digest: str) -> str:
    if len(digest) != 64 or not HEX40.fullmatch(digest[:40]) or not HEX40.fullmatch(digest[24:]):
        raise Refused(400, f"{digest!r} is no hash of a xorb")
    return f"{found.folder}/xet/{digest}"


def _pending(store: Store, found: Repository) -> int:
    """Bytes of chunks that no file of a shard has taken yet."""
    folder = f"{found.folder}/xet"
    waiting = [each for each in store.files.names(folder) if each.endswith(".data")]
    return sum(store.files.size(f"{folder}/{each}") or 0 for each in waiting)


async def xorb(call: Call) -> Response:
    """POST of a xorb: its chunks are unpacked as they arrive."""
    found, store = permitted(call), call.hub.store
    key = _key(found, call.args["hash"])
    if store.files.size(key) is not None:
        async for _ in call.batches(call.hub.limits.xorb):
            pass
        return answered({"was_inserted": False})
    length = call.request.headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdigit() else call.hub.limits.xorb
    async with room(call, found, size, await call.work(_pending, store, found)):
        await _unpacked(call, store, key)
    return answered({"was_inserted": True})


async def _unpacked(call: Call, store: Store, key: str) -> None:
    reader, rows = XorbReader(call.hub.limits.xorb), bytearray()
    unfinished = store.disk.path(f"partial/{secrets.token_hex(16)}")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    try:
        with unfinished.open("xb") as out:

            def take(piece: bytes) -> None:
                for chunk in reader.feed(piece):
                    rows.extend(ROW.pack(len(chunk), out.tell(), NOWHERE))
                    out.write(chunk)

            async for piece in call.batches(call.hub.limits.xorb):
                await call.work(take, piece)
            reader.close()
            out.flush()
            await call.work(os.fsync, out.fileno())
        await call.work(store.disk.adopt, unfinished, f"{key}.data")
        await call.work(store.files.write, key, bytes(rows))
    finally:
        unfinished.unlink(missing_ok=True)


def shard(call: Call) -> Response:
    """POST of a shard: its files are rebuilt, checked and kept as blobs."""
    found = permitted(call)
    for each in read_shard(call.body, most=1 << 20):
        with found.chunks:
            _rebuild(call.hub, found, each)
    return answered({"result": 1})


def _rebuild(hub: Hub, found: Repository, file: Rebuilt) -> None:
    size = sum(each.size for each in file.segments)
    ask_room(hub, found, size)
    store = hub.store
    expected = Large(file.sha256, size) if file.sha256 else None
    placed: list[tuple[Segment, int]] = []
    with store.incoming(expected, size) as incoming:
        for segment in file.segments:
            placed.append((segment, incoming.size))
            _copy(store, found, segment, incoming)
        try:
            large = incoming.finish()
        except HubError as error:
            _forget_new(store, found, file)
            hint = "if it happens again, `zoo hub check FOLDER --mend` finds damaged chunks"
            raise Refused(422, f"{error}; {hint}") from error
    found.grant(large)
    for segment, at in placed:
        _remember(store, found, segment, large, at)


def _copy(store: Store, found: Repository, segment: Segment, incoming: Any) -> None:
    key = _key(found, segment.xorb)
    try:
        rows = store.files.read(key)
    except FileNotFoundError:
        raise Refused(400, f"xorb {segment.xorb} was not uploaded to this repository") from None
    if segment.end * ROW.size > len(rows):
        raise HubError(f"xorb {segment.xorb} has {len(rows) // ROW.size} chunks, not {segment.end}")
    streams: dict[bytes, BinaryIO] = {}
    try:
        for index in range(segment.first, segment.end):
            size, offset, digest = ROW.unpack_from(rows, index * ROW.size)
            if digest not in streams:
                if len(streams) == OPEN:
                    streams.popitem()[1].close()
                name = f"{key}.data" if digest == NOWHERE else blob_name(digest.hex())
                try:
                    streams[digest] = store.files.open(name)
                except FileNotFoundError:
                    raise HubError(
                        f"{name} is missing from this hub's folder: stop it and `zoo hub check FOLDER "
                        "--mend`, then push again."
                    ) from None
            streams[digest].seek(offset)
            incoming.write(streams[digest].read(size))
    finally:
        for each in streams.values():
            each.close()


def _forget_new(store: Store, found: Repository, file: Rebuilt) -> None:
    """Drop xorbs that made no file yet, which clients do not remember: they are sent again."""
    for key in {_key(found, segment.xorb) for segment in file.segments}:
        rows = store.files.read(key)
        if all(ROW.unpack_from(rows, at)[2] == NOWHERE for at in range(0, len(rows), ROW.size)):
            store.files.remove(key)
            store.files.remove(f"{key}.data")


def _remember(store: Store, found: Repository, segment: Segment, large: Large, at: int) -> None:
    """The chunks of a segment lie in a blob now; when all of a xorb do, its own data goes."""
    key = _key(found, segment.xorb)
    rows = bytearray(store.files.read(key))
    for index in range(segment.first, segment.end):
        size, _, digest = ROW.unpack_from(rows, index * ROW.size)
        if digest == NOWHERE:
            ROW.pack_into(rows, index * ROW.size, size, at, bytes.fromhex(large.sha256))
        at += size
    store.files.write(key, bytes(rows))
    if all(ROW.unpack_from(rows, index)[2] != NOWHERE for index in range(0, len(rows), ROW.size)):
        store.files.remove(f"{key}.data")


ROUTES = (
    Route("GET", "api/{kind}/{org}/{name}/xet-write-token/{rev}", "write", write_token),
    Route("POST", "{cas}/v1/xorbs/default/{hash}", "link", xorb, streams=True),
    Route("POST", "{cas}/v1/shards", "link", shard, most="shard", permits=permitted),
)
