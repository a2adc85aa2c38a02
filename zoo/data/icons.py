"""Colour icons and emoji in twelve drawing styles, rendered on white: the zoo's pairs of picture and caption.

The sets of `@iconify/json` that are drawn in colour, show things rather than logos or interface symbols, and may be
used for weights without share-alike or non-commercial terms. The set `streamline-emojis` is in neither split: it is
the new style that fine-tuning is shown on, a set of its own with 50 pictures to train on and the others as its test.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.packages import Package, fetch
from zoo.data.split import held_out
from zoo.errors import DataError, listed
from zoo.progress import progress

PACKAGE = Package(
    "npm",
    "@iconify/json",
    "2.2.535",
    "iconify-json-2.2.535.tgz",
    "1a545f86fa224d6531d8fb101dcbe83aac2b28689a21cbed6fc68318a5af4d91",
    "per set, see `sets`",
    "Iconify and the authors of each set",
)
SETS = (
    "noto",
    "noto-v1",
    "twemoji",
    "fxemoji",
    "fluent-emoji",
    "fluent-emoji-flat",
    "emojione",
    "flat-color-icons",
    "flat-ui",
    "fluent-color",
    "streamline-ultimate-color",
    "streamline-kameleon-color",
)
NEW_STYLE, NEW_STYLE_SHOWN = "streamline-emojis", 50
LICENCES = ("Apache-2.0", "MIT", "CC-BY-4.0", "CC0-1.0")
# Skin tones are near copies of each other, flags are not drawings.
LEFT_OUT = re.compile(
    r"skin-tone|-(light|medium-light|medium|medium-dark|dark)(-skin)?(-|$)|^flag|-flag$|^flag-for"
)
# One drawing at several sizes (`star-16`, `star-20`): a held-out one whose twin is trained on is in neither split.
SIZES, SIZED = re.compile(r"-\d+$"), ("fluent-color",)
BLANK = 3.0  # standard deviation of pixels below which a picture is empty (white on white)

Job = tuple[str, str, str, float, float, int]


def pictures(
    size: int, sources: Mapping[str, Any], out_of_training: Callable[[str, str], bool] = held_out
) -> Iterator[tuple[str, NDArray[np.uint8], dict[str, Any]]]:
    """Yield (split, picture (size, size, 3) uint8, facts), each drawing once; its label is its place in SETS."""
    try:
        import resvg_py  # noqa: F401
    except ImportError as error:
        raise DataError("Rendering icons needs resvg: pip install 'genzoo[data]'.") from error
    jobs = [job for name, collection in sources.items() for job in _jobs(name, collection, size)]
    seen: set[bytes] = set()
    named = ((style, name) for style, name, *_ in jobs if style in SIZED)
    trained = {
        (style, SIZES.sub("", name)) for style, name in named if not out_of_training(style, name)
    }
    with ProcessPoolExecutor() as pool:
        drawn = pool.map(_render, jobs, chunksize=64)
        for (style, name, *_), picture in zip(
            jobs, progress(drawn, len(jobs), "rendering"), strict=True
        ):
            if picture is None or (digest := hashlib.sha256(picture.tobytes()).digest()) in seen:
                continue
            seen.add(digest)
            held = out_of_training(style, name)
            if held and (style, SIZES.sub("", name)) in trained:
                continue
            split = "test" if held else "train"
            facts: dict[str, Any] = {"name": name, "set": style, "caption": name.replace("-", " ")}
            if style in SETS:
                facts["label"] = SETS.index(style)
            yield split, picture, facts


def collections(
    archive: Path, names: Sequence[str] = SETS
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The sets' drawings, and what is to be said of each set: licence, author, size.

    Raises DataError for an archive without one of them, or a set under another licence than it had.
    """
    drawings, about = {}, []
    found = _members(archive, ["collections.json", *(f"json/{name}.json" for name in names)])
    for name in names:
        facts = found["collections.json"][name]
        licence, author = facts["license"], facts["author"]
        if licence.get("spdx") not in LICENCES:
            raise DataError(
                f"{archive}: the set {name!r} is under {licence}, not one of {LICENCES}."
            )
        drawings[name] = found[f"json/{name}.json"]
        credit = {"attribution": f"{facts['name']} by {author['name']}", "url": author.get("url")}
        about.append({"set": name, "licence": licence["spdx"], **credit})
    return drawings, about


def _members(archive: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """JSON files of the archive, read in one pass: to go back in a gzip file is to begin again."""
    found: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in progress(tar, label=archive.name):
                name = member.name.removeprefix("package/")
                if name in names and (opened := tar.extractfile(member)) is not None:
                    found[name] = json.load(opened)
                if len(found) == len(names):
                    return found
    except (ValueError, tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive} cannot be read: {error}. Remove it and build again.") from error
    raise DataError(f"{archive} holds no {listed(set(names) - set(found))}: it is another archive.")


def _jobs(style: str, collection: Mapping[str, Any], size: int) -> Iterator[Job]:
    for name, icon in collection["icons"].items():
        if icon.get("hidden") or LEFT_OUT.search(name):
            continue
        left, top, width, height = (
            icon.get(key, collection.get(key, other))
            for key, other in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
        )
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left} {top} {width} {height}" width="{width}" height="{height}">{icon["body"]}</svg>'
        )
        yield style, name, svg, width, height, size


def _render(job: Job) -> NDArray[np.uint8] | None:
    """The drawing on a white square, (size, size, 3); None if nothing is to be seen."""
    import resvg_py
    from PIL import Image

    style, name, svg, width, height, size = job
    wide = width >= height
    try:
        drawn = resvg_py.svg_to_bytes(
            svg_string=svg,
            background="white",
            skip_system_fonts=True,
            width=size if wide else None,
            height=None if wide else size,
        )
    except ValueError as error:
        raise DataError(f"{style}:{name} cannot be rendered: {error}.") from error
    picture = Image.open(io.BytesIO(bytes(drawn))).convert("RGB")
    if picture.size != (size, size):
        square = Image.new("RGB", (size, size), "white")
        square.paste(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
        picture = square
    pixels = np.asarray(picture)
    return None if pixels.std() < BLANK else pixels


def source(
    size: int,
) -> tuple[Iterator[tuple[str, NDArray[np.uint8], dict[str, Any]]], dict[str, Any]]:
    """The pictures and what data.json says of them."""
    drawings, about = collections(fetch(PACKAGE))
    return pictures(size, drawings), {"labels": list(SETS), "sets": about}


def new_style(
    size: int,
) -> tuple[Iterator[tuple[str, NDArray[np.uint8], dict[str, Any]]], dict[str, Any]]:
    """The drawing style that no model has seen: 50 pictures to fine-tune on, the others to test with."""
    drawings, about = collections(fetch(PACKAGE), [NEW_STYLE])
    free = [name for _, name, *_ in _jobs(NEW_STYLE, drawings[NEW_STYLE], size)]
    free = [name for name in free if not held_out(NEW_STYLE, name)]
    shown = set(
        sorted(free, key=lambda name: hashlib.sha256(name.encode()).digest())[:NEW_STYLE_SHOWN]
    )
    rule = (
        f'train: the {NEW_STYLE_SHOWN} with the least sha256("<name>") among those that the rule of '
        "`icons` does not hold out; test: all others"
    )
    return pictures(size, drawings, lambda _, name: name not in shown), {
        "sets": about,
        "rule": rule,
    }
