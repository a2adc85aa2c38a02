"""Storages and tensors as what a file says of them: types, sizes and places, without a number read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo.errors import ForeignError

# bytes of one number of every type that torch has had, by its name there
ITEM_SIZES = {
    name: size
    for size, names in {
        1: "bool int8 uint8 qint8 quint8 quint4x2 quint2x4 bits1x8 bits2x4 bits4x2 bits8 int1 int2 int3 int4 int5 int6 "
        "int7 uint1 uint2 uint3 uint4 uint5 uint6 uint7 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
        "float8_e8m0fnu float4_e2m1fn_x2",
        2: "float16 bfloat16 int16 uint16 bits16",
        4: "float32 int32 uint32 qint32 complex32 bcomplex32",
        8: "float64 int64 uint64 complex64",
        16: "complex128",
    }.items()
    for name in names.split()
}
# second names of types, and the storages of one type each
NAMES = {
    "half": "float16",
    "float": "float32",
    "double": "float64",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "chalf": "complex32",
    "cfloat": "complex64",
    "cdouble": "complex128",
    "bit": "uint1",
    **{name: name for name in ITEM_SIZES},
}
STORAGES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
_REPEATED = 2**20  # how many numbers a tensor of stride 0 may have beyond its storage
_RANK = 64
_LARGEST = 2**48  # no length, stride or offset is more


@dataclass(frozen=True)
class Kind:
    """A type of numbers, as `torch.float32` in a file."""

    name: str

    @property
    def size(self) -> int:
        """Bytes of one number."""
        return ITEM_SIZES[self.name]


@dataclass(eq=False)
class Storage:
    """`count` numbers; `spans` are (first byte, numbers) in the file, one after the other."""

    kind: Kind
    count: int
    spans: list[tuple[int, int]] = field(default_factory=list)


@dataclass(eq=False)
class Described:
    """A tensor: numbers of `kind` in `storage`, by offset, size and stride in numbers."""

    storage: Storage
    kind: Kind
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def described(
    storage: Storage, kind: Kind, offset: Any, size: Sequence[Any], stride: Sequence[Any]
) -> Described:
    """The tensor, if it lies inside its storage. Raises ForeignError otherwise.

    A storage of another kind is read as its bytes.
    """
    numbers = (offset, *size, *stride)
    if (
        len(size) != len(stride)
        or len(size) > _RANK
        or any(type(n) is not int or not 0 <= n < _LARGEST for n in numbers)
    ):
        raise ForeignError(f"a tensor of size {size}, stride {stride}, offset {offset} cannot be")
    count, rest = divmod(storage.count * storage.kind.size, kind.size)
    if rest:
        raise ForeignError(f"a storage of {storage.count} {storage.kind.name} is no {kind.name}")
    if 0 not in size:
        _inside(count, offset, size, stride)
    return Described(storage, kind, offset, tuple(size), tuple(stride))


def _inside(count: int, offset: int, size: Sequence[int], stride: Sequence[int]) -> None:
    if math.prod(size) > count + _REPEATED:
        raise ForeignError(f"a tensor of size {size} repeats a storage of {count} numbers; refused")
    if offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) >= count:
        raise ForeignError(
            f"a tensor of size {size}, stride {stride}, offset {offset} reaches past its storage "
            f"of {count} numbers; the file is damaged"
        )
