"""Opening a set by name or path, and looking at one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zoo.data.catalogue import ENTRIES, place
from zoo.data.folder import PictureFolder
from zoo.data.storage import BuiltSet, is_built
from zoo.data.tokens import TokenSet, is_tokens
from zoo.errors import DataError, listed, nearest
from zoo.hub.home import home


def open_set(
    name: str | os.PathLike[str], split: str = "train", size: int | None = None, beside: str = ""
) -> Any:
    """A split of a set: `len(it)`, and items with image uint8 (C, H, W), name and perhaps caption and label.

    Args:
        name: of a set that was built; or the path of a built set, of a folder of pictures, of a tar
            shard, or of a set of tokens (`zoo encode --shards`), whose items have tokens int64
            (h, w) for the image.
        split: "train" or "test" (a folder also has "all").
        size: pixels a side; by default that of the built set, if there is one only.
        beside: of a folder: what the other picture of each is called, "depth" for NAME.depth.png; items
            then have it as `beside`, uint8 (3, H, W).

    Raises:
        DataError: not built, no such path, another split or size, `beside` of what is no folder.
    """
    path = Path(name).expanduser()
    found = _opened(name, path, split, size, beside)
    if beside and not isinstance(found, PictureFolder):
        raise DataError(
            f"beside = {beside!r} looks for NAME.{beside}.png in a folder of pictures, and {name} is none."
        )
    return found


def _opened(
    name: str | os.PathLike[str], path: Path, split: str, size: int | None, beside: str
) -> Any:
    if os.sep in os.fspath(name) or path.is_dir() or path.suffix == ".tar":
        if not path.exists():
            raise DataError(
                f"{path} does not exist. A set is named {listed(ENTRIES)}, or by its path."
            )
        if is_tokens(path):
            return TokenSet(path, split, size)
        if is_built(path):
            return _checked(path, split, size)
        return PictureFolder(path, split, size, beside)
    text = os.fspath(name)
    if text not in ENTRIES:
        raise DataError(
            f"There is no set {text!r}.{nearest(text, ENTRIES)} "
            f"There are {listed(ENTRIES)}, or the path of a folder of pictures."
        )
    if not ENTRIES[text].size:
        raise DataError(f"{text} holds weights, not pictures.")
    there = [each for each in built() if each.name.rpartition("-")[0] == text]
    wanted = place(text, size) if size is not None or len(there) != 1 else there[0]
    if wanted not in there:
        sizes = f" Built are {listed([each.name for each in there])}." if there else ""
        asked = f" --size {size}" if size is not None else ""
        raise DataError(
            f"The set {text!r} is not built{asked and f' at {size} px'}.{sizes} Run: zoo data build {text}{asked}"
        )
    return _checked(wanted, split, size)


def _checked(folder: Path, split: str, size: int | None) -> BuiltSet:
    found = BuiltSet(folder, split)
    if size is not None and found.pixels.shape[1:3] != (size, size) and len(found):
        raise DataError(f"{folder} has pictures of {found.pixels.shape[1]} px, not {size}.")
    return found


def built() -> list[Path]:
    """Folders of the sets that are built on this machine."""
    root = home() / "data"
    found = sorted(root.iterdir()) if root.is_dir() else []
    return [each for each in found if not each.name.startswith(".") and is_built(each)]


def preview(dataset: Any, path: str | os.PathLike[str], count: int = 96, columns: int = 12) -> Path:
    """Write a sheet of `count` pictures, spread evenly over the set, as a PNG; its path."""
    import torch

    from zoo.images import Images

    if len(dataset) and "image" not in dataset[0]:
        raise DataError(
            f"{dataset.folder} holds tokens, not pictures; the pictures are {dataset.name}."
        )
    shown = min(count, len(dataset))
    numbers = [index * len(dataset) // shown for index in range(shown)]
    pictures = torch.stack([dataset[number]["image"] for number in numbers]).float() / 127.5 - 1
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Images(pictures).grid(columns).save(path)
    return path
