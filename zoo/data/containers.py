"""The two files that tokens are kept in: WebDataset shards and Parquet.

    webdataset   a plain tar, member KEY.npy (h, w) the tokens, KEY.mirrored.npy those of the mirrored picture, KEY.json
                 what is known of the picture; KEY counts the pictures of the split. Read by offset in any order:
                 nothing but the index is in memory. A tar spends 1,024 bytes a member at least.
    parquet      columns tokens and mirrored (lists of integers, row by row), facts (JSON), one row a picture. Read into
                 memory whole, at the width of the integers. Needs pyarrow.

Both are what the packages webdataset and pyarrow (or pandas, datasets) read without this one.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError

Tokens = NDArray[Any]  # (h, w), uint16 or int32
FIELDS = ("tokens", "mirrored")
_ENDINGS = {"npy": "tokens", "mirrored.npy": "mirrored"}


class Row(NamedTuple):
    """One picture: its tokens (h, w), those of its mirror image or None, and what is known of it."""

    tokens: Tokens
    mirrored: Tokens | None
    facts: Mapping[str, Any]


class Container(NamedTuple):
    """A kind of file: how it ends, how rows become one, how one is opened."""

    suffix: str
    pack: Any  # (rows, number of the first) -> bytes
    open: Any  # (path, grid) -> a sequence of rows


def pack_tar(rows: Sequence[Row], first: int) -> bytes:
    """The rows as a WebDataset shard, the same bytes for the same rows."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, row in enumerate(rows, first):
            members = {"npy": _npy(row.tokens)}
            if row.mirrored is not None:
                members["mirrored.npy"] = _npy(row.mirrored)
            members["json"] = json.dumps(dict(row.facts), ensure_ascii=False).encode()
            for ending, data in members.items():
                member = tarfile.TarInfo(f"{number:09d}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return whole.getvalue()


class TarRows:
    """The rows of a shard, read where they lie. Raises DataError for a damaged shard."""

    def __init__(self, path: Path, grid: tuple[int, int]) -> None:
        self.path, self.grid = path, grid
        self.places: list[dict[str, tuple[int, int]]] = []  # field -> offset, length
        here: dict[str, dict[str, tuple[int, int]]] = {}
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    stem, _, ending = member.name.partition(".")
                    field = _ENDINGS.get(ending, ending)
                    here.setdefault(stem, {})[field] = (member.offset_data, member.size)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise _damaged(path, error) from error
        self.places = list(here.values())

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Row:
        places = self.places[index]
        with self.path.open("rb") as file:
            found = {name: self._read(file, *place) for name, place in places.items()}
        try:
            fields = {
                name: np.load(io.BytesIO(found[name]), allow_pickle=False).reshape(self.grid)
                for name in FIELDS
                if name in found
            }
            return Row(fields["tokens"], fields.get("mirrored"), json.loads(found["json"]))
        except (KeyError, ValueError) as error:
            raise _damaged(self.path, f"picture {index}: {error!r}") from error

    @staticmethod
    def _read(file: Any, offset: int, length: int) -> bytes:
        file.seek(offset)
        return bytes(file.read(length))


def pack_parquet(rows: Sequence[Row], first: int) -> bytes:
    """The rows as a Parquet file; `first` is not needed, rows have an order of their own."""
    arrow, parquet = _pyarrow()
    table = arrow.table(
        {
            **{
                name: [getattr(row, name).ravel() for row in rows]
                for name in FIELDS
                if getattr(rows[0], name) is not None
            },
            "facts": [json.dumps(dict(row.facts), ensure_ascii=False) for row in rows],
        }
    )
    sink = arrow.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


class ParquetRows:
    """The rows of a Parquet file, in memory. Raises DataError for a damaged file."""

    def __init__(self, path: Path, grid: tuple[int, int]) -> None:
        arrow, parquet = _pyarrow()
        try:
            table = parquet.read_table(path)
            self.fields = {
                name: table[name].combine_chunks().flatten().to_numpy().reshape(-1, *grid)
                for name in FIELDS
                if name in table.column_names
            }
            self.facts = table["facts"]
        except (arrow.ArrowException, OSError, ValueError, KeyError) as error:
            raise _damaged(path, error) from error
        if any(len(values) != len(self.facts) for values in self.fields.values()):
            raise _damaged(path, f"its tokens do not fit grids of {grid}")

    def __len__(self) -> int:
        return len(self.facts)

    def __getitem__(self, index: int) -> Row:
        mirrored = self.fields.get("mirrored")
        facts = json.loads(self.facts[index].as_py())
        return Row(
            self.fields["tokens"][index], None if mirrored is None else mirrored[index], facts
        )


CONTAINERS: Mapping[str, Container] = {
    "webdataset": Container(".tar", pack_tar, TarRows),
    "parquet": Container(".parquet", pack_parquet, ParquetRows),
}


def rows_of(data: Mapping[str, Any], facts: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Rows from batches: data["tokens"] and perhaps data["mirrored"] (B, h, w), and B times facts."""
    mirrored = data.get("mirrored")
    for index, each in enumerate(facts):
        yield Row(data["tokens"][index], None if mirrored is None else mirrored[index], each)


def _npy(tokens: Tokens) -> bytes:
    file = io.BytesIO()
    np.save(file, tokens, allow_pickle=False)
    return file.getvalue()


def _damaged(path: Path, what: object) -> DataError:
    return DataError(f"{path} is damaged: {what}. Delete it and run `zoo encode` again.")


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            "Parquet files need pyarrow: pip install 'genzoo[parquet]'; --format webdataset needs "
            "nothing."
        ) from error
    return pyarrow, pyarrow.parquet
