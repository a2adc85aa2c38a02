"""Photographs for demonstrations and reconstruction tests; no model is trained on them, so all are in the test split.

From Debian's wallpapers and scikit-image's examples: centre-cropped to a square and reduced.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.packages import Package, fetch, unpack
from zoo.errors import DataError
from zoo.progress import progress

WALLPAPERS = Package(
    "apt",
    "lomiri-wallpapers-16.04",
    "20.04.0-2",
    "lomiri-wallpapers-16.04_20.04.0-2_all.deb",
    "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",
    "CC-BY-SA-3.0 or -4.0, per file in its copyright file",
    "the photographers named in its copyright file",
)
BACKGROUNDS = Package(
    "apt",
    "mate-backgrounds",
    "1.26.0-1",
    "mate-backgrounds_1.26.0-1_all.deb",
    "7bf4c2209f34b4f61ba6d24c8b58c28b361e82e4b943aae6d42c030169af9e04",
    "CC-BY-SA-4.0 and others, per file in its copyright file",
    "the photographers named in its copyright file",
)
EXAMPLES = Package(
    "pip",
    "scikit-image",
    "0.26.0",
    "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    "CC0 and public domain, per file in skimage/data/README.txt",
    "as named in skimage/data/README.txt",
)
PACKAGES = (WALLPAPERS, BACKGROUNDS, EXAMPLES)
ENDINGS = (".jpg", ".jpeg", ".png")
SHORTEST = 256  # pixels of the shorter side


def photographs(
    size: int,
) -> tuple[Iterator[tuple[str, NDArray[np.uint8], dict[str, Any]]], dict[str, Any]]:
    """The pictures and what data.json says of them."""
    return _pictures(size), {"rule": "all are held out"}


def square(path: Path, size: int) -> NDArray[np.uint8] | None:
    """The centre of a photograph as (size, size, 3) uint8; None for a small or grey picture.

    Raises DataError for a file that is no picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            if opened.mode not in ("RGB", "RGBA", "P") or min(opened.size) < max(SHORTEST, size):
                return None
            upright = ImageOps.exif_transpose(opened).convert("RGB")
            return np.asarray(ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS))
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{path.name} is no readable picture: {error}.") from error


def _pictures(size: int) -> Iterator[tuple[str, NDArray[np.uint8], dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as temporary:
        for package in PACKAGES:
            root = unpack(fetch(package), Path(temporary) / package.name)
            found = [each for each in sorted(root.rglob("*")) if each.suffix.lower() in ENDINGS]
            for path in progress(found, len(found), package.name):
                if path.is_symlink() or "test" in path.parts:
                    continue
                picture = square(path, size)
                if picture is not None and picture.std() > 10:
                    yield "test", picture, {"name": path.stem, "set": package.name}
