"""A built set on disk: pictures as plain arrays, everything else as lines of JSON.

    train.npy, test.npy       uint8 (N, H, W, C), read by memory map
    train.jsonl, test.jsonl   one line a picture: name, set, caption, label (those that apply)
    data.json                 name, size, counts, sources with versions, hashes, licences and attribution, the split

A set is written under another name and moved into place whole, so a folder that is there is complete.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.errors import DataError, listed

ABOUT = "data.json"
SPLITS = ("train", "test")
HEADER = 128  # bytes; a multiple of 64, as the format asks


class Shelf:
    """One split being written, picture by picture, in constant memory."""

    def __init__(self, folder: Path, split: str) -> None:
        self.path = folder / f"{split}.npy"
        self.pixels: IO[bytes] = self.path.open("wb")
        self.pixels.write(b"\0" * HEADER)
        self.lines = (folder / f"{split}.jsonl").open("w", encoding="utf-8")
        self.count = 0
        self.shape: tuple[int, ...] | None = None

    def add(self, picture: NDArray[np.uint8], facts: Mapping[str, Any]) -> None:
        """Append a picture (H, W, C) uint8 with its facts."""
        if self.shape is None:
            self.shape = picture.shape
        if picture.shape != self.shape or picture.dtype != np.uint8:
            raise DataError(
                f"{self.path.name}: picture {facts.get('name')} is {picture.dtype} "
                f"{picture.shape}, the set is uint8 {self.shape}."
            )
        self.pixels.write(picture.tobytes())
        self.lines.write(json.dumps(dict(facts), ensure_ascii=False) + "\n")
        self.count += 1

    def finish(self) -> None:
        """Write the header now that the count is known."""
        shape = (self.count, *(self.shape or (0, 0, 3)))
        text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
        self.pixels.seek(0)
        self.pixels.write(b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little"))
        self.pixels.write(text.ljust(HEADER - 11).encode() + b"\n")

    def close(self) -> None:
        """Close both files, finished or not."""
        self.pixels.close()
        self.lines.close()


def write(
    folder: Path,
    pictures: Iterable[tuple[str, NDArray[np.uint8], Mapping[str, Any]]],
    about: Mapping[str, Any],
) -> Path:
    """Write a set of (split, picture (H, W, C) uint8, facts) to `folder`, all or nothing; the folder."""
    for left in folder.parent.glob(f".{folder.name}.partial-*"):
        if not _running(left.name.rpartition("-")[2]):
            shutil.rmtree(left, ignore_errors=True)  # of a build that was killed
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with ExitStack() as stack:
            shelves = {split: Shelf(partial, split) for split in SPLITS}
            for shelf in shelves.values():
                stack.callback(shelf.close)
            for split, picture, facts in pictures:
                shelves[split].add(picture, facts)
            for shelf in shelves.values():
                shelf.finish()
        counts = {split: shelf.count for split, shelf in shelves.items()}
        text = json.dumps({**about, "counts": counts}, indent=2, ensure_ascii=False)
        (partial / ABOUT).write_text(text + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _running(process: str) -> bool:
    """Whether a process of that number lives, and so may still write its partial set."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def is_built(folder: Path) -> bool:
    """Whether `folder` holds a built set, perhaps a damaged one.

    Users' pictures may lie beside a data.json of their own; that is none.
    """
    if not (folder / ABOUT).is_file():
        return False
    if any((folder / f"{split}.npy").exists() for split in SPLITS):
        return True
    try:
        return "counts" in json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (ValueError, TypeError):
        return False


def described(folder: Path) -> dict[str, Any]:
    """What data.json says. Raises DataError if it is unreadable or lacks a field that is needed."""
    path = folder / ABOUT
    try:
        about = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}. Build the set again.") from error
    if lacking := {"name", "counts", "sources"} - set(about):
        raise DataError(f"{path} lacks {listed(lacking)}. Build the set again.")
    return about


def _told(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts with a caption that names the drawing's set: "noto: red apple"."""
    if "set" not in facts or "caption" not in facts:
        return facts
    return {**facts, "caption": f"{facts['set']}: {facts['caption']}"}


class BuiltSet:
    """A split of a built set: item i is a dict of image uint8 (C, H, W), name and what else is known of it.

    A caption begins with the set that the drawing is from, if the set has several: "noto: red apple".

    Raises DataError for a folder that is incomplete or damaged.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = folder, split
        about = described(folder)
        self.name, self.about = str(about["name"]), about
        if split not in about["counts"]:
            raise DataError(f"{folder} has no split {split!r}; it has {listed(about['counts'])}.")
        path = folder / f"{split}.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            self.facts: list[dict[str, Any]] = [json.loads(line) for line in lines]
            path = folder / f"{split}.npy"
            self.pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError) as error:
            raise DataError(f"{path} cannot be read: {error}. Build the set again.") from error
        if not len(self.facts) == len(self.pixels) == about["counts"][split]:
            raise DataError(
                f"{folder}: {len(self.pixels)} pictures, {len(self.facts)} lines and a stated count of "
                f"{about['counts'][split]} for {split!r}. Build the set again."
            )

    @property
    def licences(self) -> list[str]:
        """Of the pictures, each once: those of the sets of drawings, or of the sources."""
        named = self.about.get("sets") or self.about["sources"]
        return sorted({each["licence"] for each in named})

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        picture = torch.from_numpy(np.array(self.pixels[index])).permute(2, 0, 1)  # (C, H, W)
        return {"image": picture, **_told(self.facts[index])}
