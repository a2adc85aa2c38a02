"""The two byte formats of a Xet upload: xorbs (compressed chunks) and shards (files made of chunks).

A xorb is chunks one after another, each an 8-byte head (version 0, compressed size u24, scheme u8,
raw size u24; little-endian) and its bytes; scheme 0 stores, 1 is an LZ4 frame, 2 an LZ4 frame of the
bytes regrouped by their place in a 4-byte word. A footer beginning with "XETBLOB" may follow.

A shard is a 48-byte head, then per file a 48-byte record (hash, flags, count, 8 unused) and `count`
segments of 48 bytes (xorb hash, flags, bytes, first chunk, end chunk); with flag bit 31 `count`
verification records and with bit 30 one record with the file's sha256 follow, 48 bytes each. A
record of 32 times ff ends the files. A hash is written as four little-endian u64, %016x each.
Source: observed of hf-xet 1.8, and the format's description in xet-core.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from zoo.errors import HubError

HEAD, RECORD = 8, 48
LARGEST_CHUNK = 1 << 20  # bytes; clients make chunks of at most 128 KiB
MOST_CHUNKS = 1 << 16  # of a xorb
_VERIFICATION, _METADATA = 1 << 31, 1 << 30
_END = b"\xff" * 32


@dataclass(frozen=True)
class Segment:
    """Chunks first .. end - 1 of a xorb, `size` bytes."""

    xorb: str
    size: int
    first: int
    end: int


@dataclass(frozen=True)
class Rebuilt:
    """A file of a shard."""

    segments: tuple[Segment, ...]
    sha256: str | None


def hash_text(raw: bytes) -> str:
    """32 bytes as clients write them."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


class XorbReader:
    """Chunks out of a xorb's bytes, fed as they arrive."""

    def __init__(self, most: int) -> None:
        self.held = bytearray()
        self.left = most  # bytes that it may still unpack to
        self.count = 0
        self.ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The chunks that are whole now, decompressed. Raises HubError."""
        if self.ended:
            return
        self.held += data
        at = 0
        while len(self.held) - at >= HEAD:
            if self.held[at : at + 7] == b"XETBLOB":
                self.ended = True
                break
            version, packed, scheme, raw = _head(bytes(self.held[at : at + HEAD]))
            if version != 0 or raw > LARGEST_CHUNK or packed > LARGEST_CHUNK + 1024:
                raise HubError(f"chunk {self.count} of the xorb has an impossible head")
            if len(self.held) - at < HEAD + packed:
                break
            self.left -= raw
            if self.left < 0:
                raise HubError("the xorb unpacks to more than a xorb may hold")
            yield _unpacked(bytes(self.held[at + HEAD : at + HEAD + packed]), scheme, raw)
            at += HEAD + packed
            self.count += 1
            if self.count > MOST_CHUNKS:
                raise HubError(f"the xorb has more than {MOST_CHUNKS} chunks")
        del self.held[:at]

    def close(self) -> None:
        """Raises HubError if the last chunk is torn."""
        if self.held and not self.ended:
            raise HubError(f"the xorb ends inside chunk {self.count}")


def _head(raw: bytes) -> tuple[int, int, int, int]:
    return raw[0], int.from_bytes(raw[1:4], "little"), raw[4], int.from_bytes(raw[5:8], "little")


def _unpacked(data: bytes, scheme: int, size: int) -> bytes:
    if scheme == 0:
        found = data
    elif scheme in (1, 2):
        import lz4.frame

        try:
            found = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size + 1)
        except RuntimeError as error:
            raise HubError(f"a chunk is no LZ4 frame: {error}") from error
        if scheme == 2:
            found = _ungrouped(found)
    else:
        raise HubError(f"a chunk has the unknown compression {scheme}")
    if len(found) != size:
        raise HubError(f"a chunk should have {size} bytes, has {len(found)} or more")
    return found


def _ungrouped(data: bytes) -> bytes:
    """Bytes 0, 4, 8 ... came first, then 1, 5, 9 ... and so on."""
    made, at = bytearray(len(data)), 0
    for place in range(4):
        count = len(range(place, len(data), 4))
        made[place::4] = data[at : at + count]
        at += count
    return bytes(made)


def read_shard(data: bytes, most: int) -> list[Rebuilt]:
    """The files of a shard, at most `most` segments together. Raises HubError."""
    files: list[Rebuilt] = []
    at, segments = RECORD, 0
    while True:
        head = _record(data, at)
        if head[:32] == _END:
            return files
        flags, count = struct.unpack("<II", head[32:40])
        segments += count
        if segments > most:
            raise HubError(f"the shard has more than {most} segments")
        rows = [_record(data, at + RECORD * (1 + index)) for index in range(count)]
        at += RECORD * (1 + count)
        if flags & _VERIFICATION:
            at += RECORD * count
        digest = None
        if flags & _METADATA:
            digest = hash_text(_record(data, at)[:32])
            at += RECORD
        files.append(Rebuilt(tuple(_segment(row) for row in rows), digest))


def _record(data: bytes, at: int) -> bytes:
    found = data[at : at + RECORD]
    if len(found) < RECORD and found[:32] != _END:
        raise HubError("the shard ends inside a record")
    return found


def _segment(row: bytes) -> Segment:
    _, size, first, end = struct.unpack("<IIII", row[32:])
    if not 0 <= first < end <= MOST_CHUNKS:
        raise HubError(f"a segment of the shard has the chunks {first} .. {end}")
    return Segment(hash_text(row[:32]), size, first, end)
