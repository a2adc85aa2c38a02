"""Photographs for demonstrations and reconstruction tests; no model is trained on them.

From Debian's `lomiri-wallpapers` and `gcompris-qt-data`, and from scikit-image's examples: those
under CC0, public domain, CC-BY or CC-BY-SA, each with its own licence and author. These come from
the packages' machine-readable copyright files, and for scikit-image from what the functions that
return its pictures say. Not here: `mate-backgrounds`, whose photographs are under the GPL, and
`plasma-workspace-wallpapers`, drawings whose package and metadata name two licences.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data import qt_resources
from zoo.data.licences import Stanza, of, stanzas
from zoo.data.packages import Package, fetch, unpack
from zoo.errors import DataError
from zoo.progress import progress

WALLPAPERS = Package(
    "apt",
    "lomiri-wallpapers-16.04",
    "20.04.0-2",
    "lomiri-wallpapers-16.04_20.04.0-2_all.deb",
    "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",
    "CC0-1.0, CC-BY-4.0 or CC-BY-SA-4.0, per picture in test.jsonl",
    "the photographers, per picture in test.jsonl",
)
LESSONS = Package(
    "apt",
    "gcompris-qt-data",
    "3.1-2",
    "gcompris-qt-data_3.1-2_all.deb",
    "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
    "public domain, CC0, CC-BY or CC-BY-SA, per picture in test.jsonl (others are left out)",
    "the photographers, per picture in test.jsonl",
)
EXAMPLES = Package(
    "pip",
    "scikit-image",
    "0.26.0",
    "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    "CC0 or public domain, per picture in test.jsonl",
    "the photographers, per picture in test.jsonl",
    # The pictures are the same in every wheel; the hash is of this one, whatever runs this.
    (
        "--only-binary=:all:",
        "--python-version=3.11",
        "--implementation=cp",
        "--abi=cp311",
        "--platform=manylinux_2_28_x86_64",
        "--platform=manylinux_2_24_x86_64",
    ),
)
PACKAGES = (WALLPAPERS, LESSONS, EXAMPLES)
# Activities of gcompris whose pictures are photographs, where they are RGB and large enough.
ACTIVITIES = (
    "categorization",
    "erase",
    "explore_farm_animals",
    "explore_monuments",
    "explore_world_animals",
    "explore_world_music",
)
STATED = {  # skimage/data/_fetchers.py
    "astronaut.png": ("public-domain", "NASA"),
    "chelsea.png": ("CC0", "Stefan van der Walt"),
    "coffee.png": ("CC0", "Rachel Michetti"),
    "hubble_deep_field.jpg": ("public-domain", "NASA"),
    "rocket.jpg": ("public-domain", "SpaceX"),
}
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")

Pictures = Iterator[tuple[str, NDArray[np.uint8], dict[str, Any]]]


def photographs(size: int) -> tuple[Pictures, dict[str, Any]]:
    """The pictures and what data.json says of them."""
    return _pictures(size), {"rule": "all are held out"}


def square(data: bytes, name: str, size: int) -> NDArray[np.uint8] | None:
    """The centre of a photograph, (size, size, 3) uint8; None if it is small, grey or cut out.

    Raises DataError for bytes that are no picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.mode != "RGB" or min(opened.size) < size:
                return None
            upright = ImageOps.exif_transpose(opened)
            return np.asarray(ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS))
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{name} is no readable picture: {error}.") from error


def _pictures(size: int) -> Pictures:
    sources = ((WALLPAPERS, _wallpapers), (LESSONS, _lessons), (EXAMPLES, _examples))
    for package, files in sources:
        with tempfile.TemporaryDirectory() as temporary:
            root = unpack(fetch(package), Path(temporary))
            for path, data, licence, holder in progress(files(root), label=package.name):
                picture = square(data, path, size)
                if picture is not None:
                    facts = {"name": PurePosixPath(path).stem, "set": package.name, "file": path}
                    yield "test", picture, {**facts, "licence": licence, "attribution": holder}


Files = Iterator[tuple[str, bytes, str, str]]  # path, content, licence, holders


def _wallpapers(root: Path) -> Files:
    known = stanzas(root / f"usr/share/doc/{WALLPAPERS.name}/copyright")
    for path in sorted((root / "usr/share/backgrounds").glob("*.jpg")):
        stanza = of(f"16.04/{path.name}", known)
        if stanza is not None and stanza.free and not path.is_symlink():
            yield path.name, path.read_bytes(), stanza.licence, stanza.holders


def _lessons(root: Path) -> Files:
    known = stanzas(root / f"usr/share/doc/{LESSONS.name}/copyright")
    for activity in ACTIVITIES:
        resources = root / f"usr/share/gcompris-qt/rcc/{activity}.rcc"
        for name, data in sorted(qt_resources.members(resources)):
            if not name.endswith(ENDINGS):
                continue
            stanza = _lesson(name.removeprefix("gcompris/"), known)
            if stanza is not None and stanza.free:
                yield name, data, stanza.licence, stanza.holders


def _lesson(name: str, known: Sequence[Stanza]) -> Stanza | None:
    """What is said of a picture, which the package keeps as webp, by its source's ending.

    The stanza for the whole package does not count: it is about the program.
    """
    stem = str(PurePosixPath(name).with_suffix(""))
    named = [each for each in known if each.patterns != ("*",)]
    found = [of(stem + ending, named) for ending in ENDINGS]
    return next((each for each in found if each is not None), None)


def _examples(root: Path) -> Files:
    for name, (licence, holder) in STATED.items():
        yield name, (root / "skimage/data" / name).read_bytes(), licence, holder
