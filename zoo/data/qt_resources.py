"""Files inside a Qt resource file (.rcc), which some packages keep their pictures in.

The format (Qt's rcc, versions 1 to 3): a header of five big-endian words; a tree of nodes, each
with the offset of its name and flags, then children (a folder) or the offset of its bytes (a file);
names in UTF-16; bytes with their length, some of them deflated.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import DataError

DEFLATED, FOLDER, ZSTD = 1, 2, 4
DEEPEST = 32  # folders within folders


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The (name with "/", content) of each file stored plain or deflated; others are left out.

    Raises DataError for a file that is no resource file, or is damaged.
    """
    data = path.read_bytes()
    try:
        magic, version, tree, content, names = struct.unpack_from(">4s4I", data)
        if magic != b"qres" or version not in (1, 2, 3):
            raise DataError(f"{path.name} is no Qt resource file of version 1 to 3.")
        yield from _walk(data, (tree, content, names, 22 if version > 1 else 14), 0, "", 0)
    except (struct.error, zlib.error, UnicodeDecodeError, IndexError) as error:
        raise DataError(f"{path.name} is a damaged Qt resource file: {error}.") from error


def _walk(
    data: bytes, layout: tuple[int, int, int, int], node: int, parent: str, depth: int
) -> Iterator[tuple[str, bytes]]:
    tree, content, names, width = layout
    if depth > DEEPEST:
        raise IndexError("folders without end")
    name_at, flags = struct.unpack_from(">IH", data, tree + node * width)
    name = ""
    if node:
        (length,) = struct.unpack_from(">H", data, names + name_at)
        start = names + name_at + 6  # length, then a hash
        name = parent + data[start : start + 2 * length].decode("utf-16-be")
    if flags & FOLDER:
        count, first = struct.unpack_from(">II", data, tree + node * width + 6)
        for child in range(first, first + count):
            yield from _walk(data, layout, child, f"{name}/" if name else "", depth + 1)
        return
    (at,) = struct.unpack_from(">I", data, tree + node * width + 10)
    (size,) = struct.unpack_from(">I", data, content + at)
    blob = data[content + at + 4 : content + at + 4 + size]
    if len(blob) != size:
        raise IndexError(f"{name} ends too early")
    if not flags & ZSTD:
        yield name, zlib.decompress(blob[4:]) if flags & DEFLATED else blob
