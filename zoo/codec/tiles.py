"""Pictures of any size as tiles of the model's, and what of a tile need not be coded.

The last tiles of a row and of a column reach beyond the picture. What lies outside is one colour a
picture, which the stream names (the middle one of its last row and column), so that the symbols
there are known to both sides and cost nothing. Which symbols these are is found by trial: those
that do not change whatever is inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import shake_128

import numpy as np
import torch

from zoo.codec.coder import Coder
from zoo.codec.intervals import Array
from zoo.codec.work import Known
from zoo.errors import PluginError

PROBES = 8


@dataclass(frozen=True)
class Tile:
    """Where a tile lies: number of the picture, top and left, height and width inside of it."""

    picture: int
    top: int
    left: int
    height: int
    width: int


def layout(sizes: list[tuple[int, int]], image: tuple[int, int, int]) -> list[Tile]:
    """Tiles of pictures of `sizes` (height, width), row by row, picture by picture."""
    return [
        Tile(number, top, left, min(image[1], height - top), min(image[2], width - left))
        for number, (height, width) in enumerate(sizes)
        for top in range(0, height, image[1])
        for left in range(0, width, image[2])
    ]


def padded(size: tuple[int, int], image: tuple[int, int, int]) -> bool:
    """Whether tiles of a picture of this size reach beyond it."""
    return bool(size[0] % image[1] or size[1] % image[2])


def pad_of(pixels: Array) -> bytes:
    """Colour outside of pixels (C, H, W): a channel's middle value in the last row and column."""
    rim = np.sort(np.concatenate([pixels[:, -1, :], pixels[:, :, -1]], 1), 1)
    return bytes(rim[:, rim.shape[1] // 2].tolist())


def cut(pixels: Array, tile: Tile, pad: bytes, image: tuple[int, int, int]) -> Array:
    """Pixels (C, h, w) of a tile of pixels (C, H, W)."""
    made = _filled(pad, image)
    inside = pixels[:, tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
    made[:, : tile.height, : tile.width] = inside
    return made


def _filled(pad: bytes, image: tuple[int, int, int]) -> Array:
    colour = np.frombuffer(pad.ljust(image[0], b"\0"), np.uint8)[: image[0], None, None]
    return np.broadcast_to(colour, image).copy()


class Outside:
    """Which symbols of a tile both sides know: those of what lies outside of the picture."""

    def __init__(self, coder: Coder) -> None:
        self._coder = coder
        self._found: dict[tuple[int, int, bytes], tuple[Array, Array]] = {}

    def of(self, tile: Tile, pad: bytes) -> Known:
        """The symbols (T,) of a tile and which are known (T,); None where all lies inside."""
        if (tile.height, tile.width) == self._coder.card.image[1:]:
            return None
        key = (tile.height, tile.width, pad)
        if key not in self._found:
            probes = np.stack(list(self._probes(tile, pad)))
            images = self._coder.float64(torch.from_numpy(probes))
            symbols = self._coder.net.symbols(images).cpu().numpy()
            self._found[key] = symbols[0], (symbols == symbols[:1]).all(0)
        return self._found[key]

    def _probes(self, tile: Tile, pad: bytes) -> Iterator[Array]:
        image = self._coder.card.image
        shape = (image[0], tile.height, tile.width)
        plain = _filled(pad, image)
        yield plain
        for number in range(PROBES):
            made = plain.copy()
            drawn = shake_128(bytes([number])).digest(int(np.prod(shape)))
            noise = np.frombuffer(drawn, np.uint8).reshape(shape)
            if number < 2 or self._coder.binary:
                noise = (noise > 127).astype(np.uint8) * 255 if number > 1 else noise * 0
                noise = noise + (255 if number == 1 else 0)
            made[:, : tile.height, : tile.width] = noise
            yield made


def agree(coder: Coder, symbols: Array, tile: Tile, known: Known) -> None:
    """Raise PluginError unless the symbols (T,) of a tile are the known ones where known."""
    if known is not None and (symbols != known[0])[known[1]].any():
        raise PluginError(
            f"{coder.who}: symbols that seemed to stand for the outside of a picture changed with "
            f"its inside (tile of {tile.height}x{tile.width}). A symbol must depend on few pixels or "
            "on all, for tiles to be padded."
        )
