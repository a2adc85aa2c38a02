"""Captions: of a set's pictures, and of users' own, in one table beside them, however it was saved.

A table is `metadata.csv`, `metadata.jsonl`, `captions.csv` or `captions.jsonl` (rows with file_name
and text or caption), or `captions.json` ({file name: caption}, or a list of such rows). The first
of them that is there is read, the others are not.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo.errors import DataError

TABLES = ("metadata.csv", "metadata.jsonl", "captions.csv", "captions.jsonl", "captions.json")


def captions_of(data: Any) -> list[str]:
    """The captions of a set (`zoo.data.open_set`), picture by picture. Raises DataError where one has none."""
    items = (data[number] for number in range(len(data)))
    found = [item.get("caption") if isinstance(item, Mapping) else None for item in items]
    if None in found:
        raise DataError(
            f"{getattr(data, 'name', 'The set')} says no caption of {found.count(None):,} of its "
            f"{len(found):,} pictures (number {found.index(None)} is the first), and captions are needed here. "
            "A set with captions: icons; a folder's are in metadata.csv beside the pictures."
        )
    return [str(each) for each in found]


def decoded(data: bytes, where: str) -> str:
    """UTF-8 text, with or without a byte order mark. Raises DataError naming `where`."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from error


def table(folder: Path) -> dict[str, str]:
    """Captions by file name (with "/") from the folder's table; empty if it has none.

    A row without a caption is a picture without one. Raises DataError for an unreadable table.
    """
    for name in TABLES:
        path = folder / name
        if path.is_file():
            text = decoded(path.read_bytes(), str(path))
            try:
                pairs = list(_pairs(path, text))
            except (KeyError, TypeError, ValueError, AttributeError, csv.Error) as error:
                raise DataError(
                    f"{path} is not a table of captions: {type(error).__name__} {error}. "
                    "Every row needs file_name, and text or caption."
                ) from error
            return {key: value.strip() for key, value in pairs if value and value.strip()}
    return {}


def _pairs(path: Path, text: str) -> Iterator[tuple[str, str | None]]:
    if path.suffix == ".csv":
        rows: Any = csv.DictReader(io.StringIO(text, newline=""))
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    else:
        rows = json.loads(text)
        if isinstance(rows, Mapping):
            for key, value in rows.items():
                yield str(key), None if value is None else str(value)
            return
    for row in rows:
        yield _row(row)


def _row(row: Mapping[str, Any]) -> tuple[str, str | None]:
    value = row["text"] if "text" in row else row["caption"]
    return str(row["file_name"]).replace("\\", "/"), None if value is None else str(value)
