"""One codec, one picture, so many bytes: the files there are to choose from.

At each scale the highest quality that fits is found by bisection. A larger picture can hardly
afford a higher quality than a smaller one, so scales are tried from the smallest picture up, which
spares many of the slow encodings. Sizes are not quite monotone in quality, hence some slack.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image, features
from PIL import __version__ as pillow_version
from torch import Tensor

from zoo.errors import RequestError, Unsupported, listed, nearest
from zoo.evaluate.fidelity import psnr

SHRINK = (1, 2, 3, 4, 6, 8)
SLACK = 20  # steps of quality that a larger picture may have over a smaller one
TRIES, NEAR = 6, 1.1  # lowest qualities tried where the lowest of all nearly fits


@dataclass(frozen=True)
class Codec:
    """One codec as this machine has it.

    Attributes:
        title: "WebP".
        lowest: least quality it takes.
        highest: highest quality searched.
        options: what else is handed to Pillow.
    """

    title: str
    lowest: int
    highest: int
    options: dict[str, Any] = field(default_factory=dict)

    def encode(self, picture: Image.Image, quality: int) -> bytes:
        """Return the file's bytes."""
        file = io.BytesIO()
        picture.save(file, quality=quality, **self.options)
        return file.getvalue()


CODECS = {
    "jpeg": Codec("JPEG", 1, 95, {"format": "JPEG", "optimize": True, "subsampling": "4:2:0"}),
    "webp": Codec("WebP", 0, 100, {"format": "WEBP", "method": 6}),
    "avif": Codec("AVIF", 0, 100, {"format": "AVIF", "speed": 4, "max_threads": 1}),
    "jxl": Codec("JPEG XL", 1, 99, {"format": "JXL", "effort": 9, "num_threads": 0}),
}


def installed(name: str) -> Codec:
    """Return a codec of CODECS; RequestError if unknown, Unsupported if not installed."""
    if name not in CODECS:
        raise RequestError(f"No codec {name!r}; there are {listed(CODECS)}.{nearest(name, CODECS)}")
    if name == "jxl":
        try:
            import pillow_jxl  # noqa: F401  importing registers the format with Pillow
        except ImportError as error:
            raise Unsupported(
                "JPEG XL is written through pillow-jxl-plugin, which is not installed: "
                "`pip install pillow-jxl-plugin`, or leave 'jxl' out."
            ) from error
    elif not features.check({"jpeg": "jpg"}.get(name, name)):
        raise Unsupported(
            f"This Pillow ({pillow_version}) was built without {CODECS[name].title}: "
            f"`pip install --upgrade pillow`, or leave {name!r} out."
        )
    return CODECS[name]


@dataclass(frozen=True)
class Candidate:
    """A file of one picture, and what comes out of it."""

    size: int
    picture: Tensor  # uint8 (C, H, W)
    psnr: float


class Search:
    """All that one codec does to one picture; files are kept, so a second budget costs little."""

    def __init__(self, codec: Codec, original: Tensor) -> None:
        self.codec, self.original = codec, original
        array = original.permute(1, 2, 0).numpy()
        self.image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
        self.small: dict[int, Image.Image] = {}
        self.files: dict[tuple[int, int], bytes] = {}

    def file(self, shrink: int, quality: int) -> bytes:
        """Return the file at that scale and quality."""
        key = (shrink, quality)
        if key not in self.files:
            if shrink not in self.small:
                side = [max(1, round(each / shrink)) for each in self.image.size]
                self.small[shrink] = self.image.resize((side[0], side[1]), Image.Resampling.LANCZOS)
            self.files[key] = self.codec.encode(self.small[shrink], quality)
        return self.files[key]

    def lowest(self, shrink: int, budget: int) -> int | None:
        """Return a low quality that fits; the very lowest is not always the smallest file."""
        first = self.codec.lowest
        if len(self.file(shrink, first)) > budget * NEAR:
            return None
        tries = range(first, first + TRIES)
        return next((q for q in tries if len(self.file(shrink, q)) <= budget), None)

    def fitting(self, budget: int) -> Iterator[bytes]:
        """Yield for each scale the file of highest quality within the budget, if any fits."""
        most = self.codec.highest
        for shrink in reversed(SHRINK):
            low = self.lowest(shrink, budget)
            if low is None:
                continue
            high = max(low, min(self.codec.highest, most + SLACK))
            while low < high:
                middle = (low + high + 1) // 2
                if len(self.file(shrink, middle)) <= budget:
                    low = middle
                else:
                    high = middle - 1
            most = low
            yield self.file(shrink, low)

    def smallest(self) -> bytes:
        """Return the smallest file of any scale."""
        first = self.codec.lowest
        shrink = min(SHRINK, key=lambda each: len(self.file(each, first)))
        return min((self.file(shrink, q) for q in range(first, first + TRIES)), key=len)

    def candidates(self, budget: int) -> list[Candidate]:
        """What there is to choose from within the budget, or the one smallest file."""
        return [self._out(file) for file in list(self.fitting(budget)) or [self.smallest()]]

    def _out(self, file: bytes) -> Candidate:
        with Image.open(io.BytesIO(file)) as opened:
            image = opened.convert(self.image.mode)
        if image.size != self.image.size:
            image = image.resize(self.image.size, Image.Resampling.LANCZOS)
        array = np.array(image)
        picture = torch.from_numpy(array[:, :, None] if array.ndim == 2 else array).permute(2, 0, 1)
        return Candidate(len(file), picture, float(psnr(self.original[None], picture[None])))
