"""WebDataset shards: plain tar files whose members share a stem (`000.png`, `000.txt`, `000.cls`).

Python's own tar reader indexes a shard once; pictures are then read by offset from the file, in any
order, which an iterable reader of shards could not give and a seekable trainer needs. So the
webdataset package is not used. As there, the stem ends at the first dot of the file name, and
folders belong to it; a `.json` may say "caption" (or "text") and "label".
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zoo.data.captions import decoded
from zoo.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
FACTS = ("txt", "caption", "cls", "json")


class Entry(NamedTuple):
    """Where the bytes of a picture are: `length` of them from `offset` of the file `path`."""

    name: str
    path: Path
    offset: int
    length: int


def indexed(
    shard: Path, facts: dict[str, dict[str, Any]], unread: dict[str, str]
) -> Iterator[Entry]:
    """The pictures of a shard; what is said of them goes to `facts`, unreadable files to `unread`.

    Raises DataError for a file that is no plain tar, or ends too early.
    """
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                parent, _, base = member.name.removeprefix("./").rpartition("/")
                stem, _, ending = base.partition(".")
                key = "/".join(part for part in (shard.name, parent, stem) if part)
                if f".{ending.lower()}" in ENDINGS:
                    yield Entry(key, shard, member.offset_data, member.size)
                elif ending in FACTS:
                    opened = tar.extractfile(member)
                    data = opened.read() if opened is not None else b""
                    try:
                        facts.setdefault(key, {}).update(
                            _fact(ending, data, f"{shard.name}/{member.name}")
                        )
                    except (DataError, ValueError, AttributeError) as error:
                        unread[f"{shard.name}/{member.name}"] = f"cannot be read: {error}"
    except (tarfile.TarError, EOFError) as error:
        raise DataError(
            f"{shard} is no readable tar: {error}. Write it again, uncompressed, or leave it out."
        ) from error


def _fact(ending: str, data: bytes, where: str) -> dict[str, Any]:
    text = decoded(data, where).strip()
    if ending in ("txt", "caption"):
        return {"caption": text}
    if ending == "cls":
        return {"label": int(text)}
    said = json.loads(text)
    if not isinstance(said, Mapping):
        raise ValueError(f"a {type(said).__name__}, not an object")
    found: dict[str, Any] = {}
    caption = said.get("caption", said.get("text"))
    if caption is not None:
        found["caption"] = str(caption)
    if said.get("label") is not None:
        found["label"] = int(said["label"])
    return found
