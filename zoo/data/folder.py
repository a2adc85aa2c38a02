"""Users' own pictures: a folder with captions beside them, or WebDataset shards.

Captions come from, in this order: `metadata.csv` or `metadata.jsonl` (columns file_name and text or caption),
`captions.json` ({file name: caption}), a .txt of the picture's own name. A shard is a tar whose members share a stem:
`000.png`, `000.txt`, `000.json` (with "caption" or "label").
"""

from __future__ import annotations

import csv
import io
import json
import tarfile
import warnings
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from zoo.errors import DataError, listed

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
HELD_OUT = 13  # of 256, as for the zoo's own sets
Entry = tuple[str, Path, int, int]  # name, file, offset and length of the picture in it


class PictureFolder:
    """A split of a user's pictures: item i is a dict of image uint8 (3, size, size), name and perhaps caption, label.

    A picture is in the test split when the first byte of sha256(its name) is below 13. All pictures are opened once
    at the start; those that cannot be read, or are smaller than `size`, are listed in `skipped` and in one warning.

    Raises DataError: no such folder, nothing readable in it, another split.
    """

    licences: tuple[str, ...] = ()

    def __init__(self, folder: Path, split: str, size: int | None) -> None:
        if split not in ("train", "test", "all"):
            raise DataError(f"{folder} has the splits train, test and all; not {split!r}.")
        if size is None:
            raise DataError(f"{folder}: pictures of a folder have many sizes; say which `size` to open them at.")
        self.name, self.folder, self.size = folder.name, folder, size
        self.captions: dict[str, str] = {}
        self.labels: dict[str, int] = {}
        self.skipped: dict[str, str] = {}
        shards = sorted(folder.glob("*.tar")) if folder.is_dir() else [folder]
        found = list(self._shards(shards) if shards else self._files())
        self.entries = [entry for entry in found if split == "all" or (split == "test") == _held(entry[0])]
        self.entries = [entry for entry in self.entries if self._readable(entry)]
        if self.skipped:
            first = [f"{name} ({why})" for name, why in list(self.skipped.items())[:5]]
            warnings.warn(f"{folder}: {len(self.skipped)} pictures are left out: {listed(first)}.", stacklevel=2)
        if not self.entries:
            raise DataError(
                f"{folder} holds no picture for the split {split!r} ({len(found)} pictures in all, {len(self.skipped)} left out). "
                f"Pictures end in {', '.join(ENDINGS)}; shards in .tar."
            )

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> dict[str, Any]:
        entry = self.entries[index]
        item: dict[str, Any] = {"image": self._picture(entry), "name": entry[0]}
        if entry[0] in self.captions:
            item["caption"] = self.captions[entry[0]]
        if entry[0] in self.labels:
            item["label"] = self.labels[entry[0]]
        return item

    def _files(self) -> Iterator[Entry]:
        table = _table(self.folder)
        for path in sorted(self.folder.rglob("*")):
            if path.suffix.lower() not in ENDINGS or path.name.startswith("."):
                continue
            name = path.relative_to(self.folder).as_posix()
            beside = path.with_suffix(".txt")
            if name in table:
                self.captions[name] = table[name]
            elif beside.is_file():
                self.captions[name] = beside.read_text(encoding="utf-8").strip()
            yield name, path, 0, path.stat().st_size

    def _shards(self, shards: list[Path]) -> Iterator[Entry]:
        for shard in shards:
            try:
                with tarfile.open(shard, "r:") as tar:
                    for member in tar:
                        if member.isfile():
                            yield from self._member(shard, tar, member)
            except tarfile.TarError as error:
                raise DataError(f"{shard} is no readable tar: {error}.") from error

    def _member(self, shard: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[Entry]:
        stem, _, ending = member.name.partition(".")
        key, opened = f"{shard.name}/{stem}", tar.extractfile(member)
        if f".{ending.lower()}" in ENDINGS:
            yield key, shard, member.offset_data, member.size
        elif opened is not None and ending == "txt":
            self.captions[key] = opened.read().decode("utf-8").strip()
        elif opened is not None and ending == "cls":
            self.labels[key] = int(opened.read())
        elif opened is not None and ending == "json":
            facts = json.loads(opened.read())
            if "caption" in facts:
                self.captions[key] = str(facts["caption"])
            if "label" in facts:
                self.labels[key] = int(facts["label"])

    def _readable(self, entry: Entry) -> bool:
        from PIL import Image

        try:
            with _open(entry) as file, Image.open(file) as picture:
                small = min(picture.size) < self.size
                sides = picture.size
                picture.draft("RGB", (8, 8))
                picture.load()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            self.skipped[entry[0]] = f"cannot be read: {error}"
            return False
        if small:
            self.skipped[entry[0]] = f"{sides[0]} x {sides[1]} px, smaller than {self.size}"
        return not small

    def _picture(self, entry: Entry) -> Tensor:
        """Upright, alpha over white, centre-cropped, reduced: uint8 (3, size, size)."""
        from PIL import Image, ImageOps

        with _open(entry) as file, Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        flat = Image.alpha_composite(white, picture).convert("RGB")
        fitted = ImageOps.fit(flat, (self.size, self.size), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(fitted)).permute(2, 0, 1)


def _open(entry: Entry) -> BinaryIO:
    _, path, offset, length = entry
    if not offset:
        return path.open("rb")
    with path.open("rb") as file:
        file.seek(offset)
        return io.BytesIO(file.read(length))


def _held(name: str) -> bool:
    return sha256(name.lower().encode()).digest()[0] < HELD_OUT


def _table(folder: Path) -> dict[str, str]:
    """Captions by file name from the folder's one table, if it has one. Raises DataError for a table without them."""
    for name in ("metadata.csv", "metadata.jsonl", "captions.json"):
        path = folder / name
        if not path.is_file():
            continue
        try:
            if name == "captions.json":
                return {str(key): str(value) for key, value in json.loads(path.read_text()).items()}
            with path.open(encoding="utf-8", newline="") as file:
                rows = csv.DictReader(file) if name.endswith("csv") else map(json.loads, file)
                return dict(_row(row) for row in rows)
        except (KeyError, ValueError, AttributeError) as error:
            raise DataError(
                f"{path} is not a table of captions: {error}. It needs file_name and text (or caption) in every row."
            ) from error
    return {}


def _row(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["file_name"]), str(row["text"] if "text" in row else row["caption"])
