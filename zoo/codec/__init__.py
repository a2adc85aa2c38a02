"""Lossless coding of pictures by a model's own probabilities: `zoo compress`, `zoo decompress`.

The format, the mathematics and the argument why decoding is exact stand in README.md beside this
file. `compress` and `decompress` take and give images; `pack` and `unpack` also keep names, sizes
and modes of files.
"""

from __future__ import annotations

from zoo.codec.archive import Packed as Packed
from zoo.codec.archive import compress as compress
from zoo.codec.archive import decompress as decompress
from zoo.codec.archive import pack as pack
from zoo.codec.archive import unpack as unpack
from zoo.codec.pictures import Picture as Picture
from zoo.codec.stream import Facts as Facts
from zoo.codec.stream import read as read
from zoo.errors import CodecError as CodecError
