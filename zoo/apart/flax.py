"""flax's checkpoints (flax_model.msgpack), read without jax, flax or msgpack.

A tree of mappings whose leaves are arrays, in MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md).
An array is the extension type 1 around [shape, name of the type, bytes], a scalar type 3 around the same; one of more
than 1 GiB is a mapping {__msgpack_chunked_array__, shape, chunks}. Anything else is refused: other extension types
(complex numbers, among them), keys that are no text, lengths that the file does not hold, nesting deeper than 64.
Source: google/flax, flax/serialization.py (Apache-2.0).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from operator import mul
from typing import IO, Any

from zoo.apart.described import Described, Kind, Storage, described
from zoo.errors import ForeignError

TYPES = (
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
)
DEEPEST = 64
_CHUNKED = "__msgpack_chunked_array__"
# the first byte: (how the value or its length is written, what it is)
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_LENGTHS = {
    0xC4: (">B", "bytes"),
    0xC5: (">H", "bytes"),
    0xC6: (">I", "bytes"),
    0xC7: (">B", "array"),
    0xC8: (">H", "array"),
    0xC9: (">I", "array"),
    0xD9: (">B", "text"),
    0xDA: (">H", "text"),
    0xDB: (">I", "text"),
    0xDC: (">H", "list"),
    0xDD: (">I", "list"),
    0xDE: (">H", "mapping"),
    0xDF: (">I", "mapping"),
}
_FIXED_ARRAYS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


@dataclass(frozen=True)
class _Span:
    """Bytes of the file that hold numbers; they are not read."""

    start: int
    size: int


def read(file: IO[bytes], where: str) -> Mapping[str, Described]:
    """The arrays of a file by their names, "/" between levels. Raises ForeignError for what is no such file."""
    length = file.seek(0, 2)
    file.seek(0)
    reader = _Reader(file, length, where)
    tree = reader.value(0)
    if reader.place != length:
        raise ForeignError(f"{where} goes on for {length - reader.place} bytes after its end")
    if not isinstance(tree, dict):
        raise ForeignError(f"{where} holds no tree of arrays, but a {type(tree).__name__}")
    found: dict[str, Described] = {}
    _flatten(tree, "", found, where)
    if not found:
        raise ForeignError(f"{where} holds no arrays")
    return found


class _Reader:
    """A place in a file of MessagePack."""

    def __init__(self, file: IO[bytes], length: int, where: str) -> None:
        self.file, self.length, self.where, self.place = file, length, where, 0

    def passed(self, count: int) -> int:
        """The place before the next bytes, which it goes past. Raises ForeignError where there are fewer."""
        if count > self.length - self.place:
            raise ForeignError(
                f"{self.where} ends at byte {self.length}, inside a value of {count} bytes at {self.place}; "
                "fetch it again"
            )
        self.place += count
        return self.place - count

    def take(self, count: int) -> bytes:
        """The next bytes."""
        self.passed(count)
        return self.file.read(count)

    def span(self, count: int) -> _Span:
        """Where the next bytes lie."""
        start = self.passed(count)
        self.file.seek(self.place)
        return _Span(start, count)

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def value(self, depth: int) -> Any:
        """The next value, `depth` levels below the top."""
        if depth > DEEPEST:
            raise ForeignError(f"{self.where} is nested more than {DEEPEST} deep")
        first: int = self.number(">B")
        if first < 0x80 or first >= 0xE0:
            return first if first < 0x80 else first - 0x100
        if first < 0x90:
            return self.mapping(first & 0x0F, depth)
        if first < 0xA0:
            return self.items(first & 0x0F, depth)
        if first < 0xC0:
            return self.text(first & 0x1F)
        if first in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        if first in _NUMBERS:
            return self.number(_NUMBERS[first])
        if first in _FIXED_ARRAYS:
            return self.array(_FIXED_ARRAYS[first], depth)
        if first not in _LENGTHS:
            raise ForeignError(
                f"{self.where} is no MessagePack: {first:#x} at byte {self.place - 1}"
            )
        layout, kind = _LENGTHS[first]
        count: int = self.number(layout)
        if kind == "bytes":
            return self.span(count)
        if kind == "text":
            return self.text(count)
        if kind == "list":
            return self.items(count, depth)
        return self.mapping(count, depth) if kind == "mapping" else self.array(count, depth)

    def text(self, count: int) -> str:
        try:
            return self.take(count).decode()
        except UnicodeDecodeError as error:
            raise ForeignError(
                f"{self.where}: a text before byte {self.place} is not UTF-8"
            ) from error

    def items(self, count: int, depth: int) -> list[Any]:
        return [self.value(depth + 1) for _ in range(count)]  # each takes a byte or the file ends

    def mapping(self, count: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(count):
            key = self.value(depth + 1)
            if not isinstance(key, str) or key in found:
                raise ForeignError(f"{self.where}: {key!r} is no name, or there twice")
            found[key] = self.value(depth + 1)
        return found

    def array(self, count: int, depth: int) -> Described:
        """An extension of `count` bytes, if it is an array or a scalar of numpy."""
        kind: int = self.number(">b")
        if kind not in (1, 3):
            raise ForeignError(
                f"{self.where} holds a value of extension type {kind}; arrays (1) and scalars (3) are all that is read"
            )
        end = self.place + count
        made = self.value(depth + 1)
        if self.place != end or not isinstance(made, list) or len(made) != 3:
            raise ForeignError(f"{self.where}: an array before byte {self.place} is damaged")
        shape, name, numbers = made
        if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
            raise ForeignError(f"{self.where}: an array has the shape {shape!r}")
        if not isinstance(name, str) or name not in TYPES:
            raise ForeignError(
                f"{self.where}: arrays of {name!r} are not read, but {', '.join(TYPES)}"
            )
        size = prod(shape) * Kind(name).size
        if not isinstance(numbers, _Span) or numbers.size != size:
            raise ForeignError(f"{self.where}: an array {shape} of {name} should have {size} bytes")
        return _whole(Kind(name), [(numbers.start, prod(shape))], shape)


def _whole(kind: Kind, spans: list[tuple[int, int]], shape: list[int]) -> Described:
    """An array with a storage of its own."""
    count = sum(each for _, each in spans)
    stride = list(accumulate(reversed(shape[1:]), mul, initial=1))[::-1][: len(shape)]
    return described(Storage(kind, count, spans), kind, 0, shape, stride)


def _flatten(tree: dict[str, Any], above: str, found: dict[str, Described], where: str) -> None:
    for key, value in tree.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and _CHUNKED in value:
            value = _joined(value, name, where)
        if isinstance(value, dict):
            _flatten(value, f"{name}/", found, where)
        elif isinstance(value, Described) and name not in found:
            found[name] = value
        else:
            raise ForeignError(f"{where}: {name} is no array, or there twice")


def _joined(value: dict[str, Any], name: str, where: str) -> Described:
    """An array that was written in pieces."""
    shape, chunks = value.get("shape"), value.get("chunks")
    if isinstance(shape, dict) and isinstance(chunks, dict):
        said = (shape.get(str(index)) for index in range(len(shape)))
        sizes = [each for each in said if type(each) is int and each >= 0]
        pieces = (chunks.get(str(index)) for index in range(len(chunks)))
        parts = [each.storage for each in pieces if isinstance(each, Described)]
        whole = len(sizes) == len(shape) and len(parts) == len(chunks) > 0
        if whole and len({part.kind for part in parts}) == 1:
            spans = [span for part in parts for span in part.spans]
            if sum(count for _, count in spans) == prod(sizes):
                return _whole(parts[0].kind, spans, sizes)
    raise ForeignError(f"{where}: {name} is in pieces that do not make an array")
