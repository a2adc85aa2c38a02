"""The header of a safetensors file, checked before anyone believes it.

A file is 8 bytes n (little-endian), n bytes of JSON {name: {dtype, shape, data_offsets}}, then the
tensors' bytes without gaps. Torch-free. Source: the format's description in the safetensors
project. A header that lies (longer than the file, overlapping tensors, sizes that do not multiply
out) is refused here with the file's name, the lie and the remedy, before a byte of it is used to
allocate or to map anything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

from zoo.errors import WeightsError

LONGEST = 25_000_000  # bytes of header; 100,000 tensors fit
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A tensor in the file."""

    dtype: str  # a key of BITS
    shape: tuple[int, ...]
    start: int  # bytes, from the end of the header
    end: int


@dataclass(frozen=True)
class Header:
    """All tensors of a file."""

    tensors: dict[str, Entry]
    metadata: dict[str, str]
    data: int  # where the tensors' bytes begin in the file


def read_header(path: str | Path) -> Header:
    """The header of a safetensors file.

    Raises WeightsError for a file that is missing, truncated or hostile.
    """
    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if size < 8:
                _refuse(path, f"{size} bytes are too few")
            if length > size - 8:
                _refuse(
                    path,
                    f"the header claims {length} bytes, the file has {size - 8} after its length",
                )
            if length > LONGEST:
                _refuse(
                    path, f"the header claims {length} bytes, more than the {LONGEST} that are read"
                )
            raw = file.read(length)
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot read the weights: {error.strerror or error}."
        ) from error
    try:
        table = json.loads(raw.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"the header is not JSON: {error}")
    if not isinstance(table, dict):
        _refuse(path, "the header is not a JSON object")
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        _refuse(path, "__metadata__ must map text to text")
    tensors = {name: _entry(path, name, each) for name, each in table.items()}
    reached = 0
    for name, each in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if each.start != reached:
            _refuse(
                path,
                f"{name!r} begins at byte {each.start}, expected {reached}: tensors overlap or "
                "leave a gap",
            )
        reached = each.end
    if reached != size - 8 - length:
        _refuse(path, f"the tensors need {reached} bytes, the file has {size - 8 - length}")
    return Header(tensors, metadata, 8 + length)


def _entry(path: str | Path, name: str, entry: Any) -> Entry:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(path, f"{name!r} must have dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        _refuse(path, f"{name!r} has the unknown dtype {dtype!r} (known: {', '.join(BITS)})")
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2 or len(shape) > 64:
        _refuse(path, f"{name!r}: shape and data_offsets must be whole numbers, offsets two")
    if offsets[1] - offsets[0] != prod(shape) * BITS[dtype] // 8:
        _refuse(path, f"{name!r}: {dtype} {shape} does not fill {offsets[1] - offsets[0]} bytes")
    return Entry(dtype, tuple(shape), *offsets)


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(each) is int and 0 <= each < 2**48 for each in value
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice")
    return made


def _refuse(path: str | Path, reason: str) -> NoReturn:
    raise WeightsError(
        f"{path}: not a whole safetensors file: {reason}. It is truncated, damaged or made to "
        "mislead: delete it and fetch it again from where it came."
    ) from None
