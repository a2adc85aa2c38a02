"""What an archive may claim to hold, by the bytes that are really there.

A checksum keeps damage out, not malice: anyone can seal an archive that claims a picture of a million by a
million pixels. What is claimed is therefore held against the archive's size before memory is taken for it:

    numbers in all tiles (C H W each)  <=  2^18 x bytes of the archive
    facts inflated                     <=  2^8 x their bytes + 2^16

A symbol of an alphabet of K costs at least -log2(1 - (K + 1) / 2^24) bits, which is one byte for 362,000 numbers
of 256 levels, so that pixels come near the first bound only where a model is all but certain of everything;
`pack` holds itself to it, and never writes what is not read again. So an archive of a megabyte may still rightly hold
hundreds of gigabytes of black; what would not fit this machine's memory is refused here as well.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from math import prod

from zoo.errors import CodecError

NUMBERS = 1 << 18  # a byte
INFLATED, SMALL = 1 << 8, 1 << 16
BYTES = 9  # a symbol while it is decoded: int64, and the level it becomes


def numbers(sizes: Iterable[tuple[int, int, int]], image: tuple[int, int, int]) -> int:
    """Numbers in all tiles of (height, width, how many) pictures. Raises ValueError for what is no size."""
    sizes = list(sizes)
    if min((*image, *(side for size in sizes for side in size)), default=0) < 1:
        raise ValueError(f"sides of {image} tiles and of pictures are 1 or more")
    tiles = sum(-(-h // image[1]) * -(-w // image[2]) * times for h, w, times in sizes)
    return tiles * prod(image)


def bearable(count: int, size: int) -> None:
    """Raise CodecError for so many numbers in an archive of `size` bytes."""
    if count > NUMBERS * size:
        raise CodecError(
            f"The archive has {size:,} bytes and claims pictures of {count:,} numbers, tiles whole; so many "
            f"bytes bear {NUMBERS * size:,} at most ({NUMBERS:,} each). It was made to exhaust memory, or "
            "its pictures are all but empty: then compress fewer of them, or smaller ones, at a time."
        )


def holdable(symbols: int) -> None:
    """Raise CodecError for so many symbols to decode, if this machine's memory cannot hold them."""
    here = memory()
    if here and BYTES * symbols > here:
        raise CodecError(
            f"The archive claims {symbols:,} symbols, which take {BYTES * symbols / 1e9:,.1f} GB to decode, and this "
            f"machine has {here / 1e9:,.1f} GB of memory. It was made to exhaust it, or its pictures are to be "
            "decoded on a larger machine, or compressed into several archives."
        )


def memory() -> int:
    """Bytes of memory of this machine; 0 where the system does not say."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def inflated(data: bytes) -> bytes:
    """Facts out of raw deflate. Raises CodecError if they swell beyond all measure, zlib.error, ValueError."""
    most = INFLATED * len(data) + SMALL
    stream = zlib.decompressobj(-15)
    found = stream.decompress(data, most)
    if stream.unconsumed_tail:
        raise CodecError(
            f"The archive's facts are {len(data):,} bytes that swell to more than {most:,}: no archive of "
            "`zoo compress` does. It was made to exhaust memory."
        )
    if not stream.eof or stream.unused_data:
        raise ValueError("their deflated bytes do not end where they should")
    return found
