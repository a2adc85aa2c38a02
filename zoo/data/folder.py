"""Users' own pictures: a folder with captions beside them, or WebDataset shards.

Captions come from the folder's table (`zoo.data.captions`), else from a .txt of the picture's own
name. A folder that holds .tar files is read as shards (`zoo.data.shards`).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch

from zoo.data.captions import decoded, table
from zoo.data.shards import ENDINGS, Entry, indexed
from zoo.errors import DataError, listed
from zoo.progress import progress

if TYPE_CHECKING:
    from PIL.Image import Image

HELD_OUT = 13  # of 256, as for the zoo's own sets
SPLITS = ("train", "test", "all")


class PictureFolder:
    """A split of a user's pictures.

    Item i is a dict of image uint8 (3, size, size), name, and caption and label if there are any.
    With `beside` = "depth" the picture house.depth.png belongs to house.png (or .jpg ...): item i has
    it as `beside`, uint8 (3, size, size), cut in the same way; a picture without one is left out.
    A picture is in the test split when the first byte of sha256(its name) is below 13. All pictures
    of the split are opened once at the start; those that cannot be read, or have a side under
    `size`, are listed in `skipped` (name -> why); captions that cannot be read, or belong to no
    picture, in `unread`. A warning counts each.

    Raises DataError: no such folder, nothing readable in it, another split, `beside` in shards.
    """

    licences: tuple[str, ...] = ()

    def __init__(self, folder: Path, split: str, size: int | None, beside: str = "") -> None:
        if split not in SPLITS:
            raise DataError(f"{folder} has the splits {listed(SPLITS)}; not {split!r}.")
        if size is None:
            raise DataError(
                f"{folder}: pictures of a folder have many sizes; say which `size` to open them at."
            )
        if not folder.is_dir() and folder.suffix != ".tar":
            raise DataError(f"{folder} is neither a folder of pictures nor a .tar shard.")
        self.name, self.folder, self.size = folder.name, folder, size
        self.facts: dict[str, dict[str, Any]] = {}
        self.beside, self.others = beside, dict[str, Entry]()
        self.skipped: dict[str, str] = {}
        self.unread: dict[str, str] = {}
        shards = sorted(folder.glob("*.tar")) if folder.is_dir() else [folder]
        if shards and beside:
            raise DataError(
                f"{folder}: beside = {beside!r} looks for NAME.{beside}.png beside the pictures of a folder, and "
                "these are shards. Unpack them."
            )
        found = [entry for shard in shards for entry in indexed(shard, self.facts, self.unread)]
        found = found if shards else list(self._files())
        wanted = [
            entry for entry in found if split == "all" or (split == "test") == _held(entry.name)
        ]
        checked = progress(wanted, len(wanted), f"checking {self.name}")
        self.entries = [entry for entry in checked if self._readable(entry)]
        if self.skipped:
            first = [f"{name} ({why})" for name, why in list(self.skipped.items())[:5]]
            warnings.warn(
                f"{folder}: {len(self.skipped)} pictures are left out: {listed(first)}.",
                stacklevel=2,
            )
        if self.unread:
            first = [f"{name} ({why})" for name, why in list(self.unread.items())[:5]]
            warnings.warn(
                f"{folder}: {len(self.unread)} captions are not used: {listed(first)}.",
                stacklevel=2,
            )
        if not self.entries:
            raise DataError(
                f"{folder} holds no picture for the split {split!r}: {len(found)} pictures in all, "
                f"{len(wanted)} of them in that split, {len(self.skipped)} left out. Pictures "
                f"end in {listed(ENDINGS)}, shards in .tar. A small folder may have an "
                "empty test split; 'all' takes every picture."
            )

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> dict[str, Any]:
        entry = self.entries[index]
        pixels = torch.from_numpy(square(entry, self.size)).permute(2, 0, 1)  # (3, size, size)
        item: dict[str, Any] = {"image": pixels, "name": entry.name}
        item |= self.facts.get(entry.name, {})
        if self.beside:
            other = square(self.others[entry.name], self.size)
            item["beside"] = torch.from_numpy(other).permute(2, 0, 1)
        return item

    def _files(self) -> Iterator[Entry]:
        captions = table(self.folder)
        for path in sorted(self.folder.rglob("*")):
            if path.suffix.lower() not in ENDINGS or path.name.startswith("."):
                continue
            if self.beside and path.stem.endswith(f".{self.beside}"):
                continue
            name = path.relative_to(self.folder).as_posix()
            if not path.is_file():
                self.skipped[name] = "is no file, or a link to nothing"
                continue
            if self.beside and not self._paired(name, path):
                continue
            beside = path.with_suffix(".txt")
            caption = captions.pop(name, None)
            try:
                if caption is None and beside.is_file():
                    caption = decoded(beside.read_bytes(), beside.name).strip()
            except DataError as error:
                self.unread[beside.name] = str(error)
            if caption:
                self.facts[name] = {"caption": caption}
            yield Entry(name, path, 0, path.stat().st_size)
        for name in captions:
            self.unread[name] = "has a caption, but is not in the folder"

    def _paired(self, name: str, path: Path) -> bool:
        """Whether the picture's other one is there and can be read; it is kept in `others`."""
        every = (path.with_name(f"{path.stem}.{self.beside}{ending}") for ending in ENDINGS)
        other = next((each for each in every if each.is_file()), None)
        if other is None:
            self.skipped[name] = f"has no {path.stem}.{self.beside}.png beside it"
            return False
        self.others[name] = Entry(
            other.relative_to(self.folder).as_posix(), other, 0, other.stat().st_size
        )
        if not self._readable(self.others[name]):
            self.skipped[name] = f"its {other.name} is left out"
            return False
        return True

    def _readable(self, entry: Entry) -> bool:
        from PIL import Image

        try:
            with warnings.catch_warnings(), _open(entry) as file:
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(file) as picture:
                    sides = picture.size
                    picture.draft("RGB", (8, 8))
                    picture.load()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            self.skipped[entry.name] = f"cannot be read: {error}"
            return False
        if min(sides) < self.size:
            self.skipped[entry.name] = f"{sides[0]} x {sides[1]} px, smaller than {self.size}"
            return False
        return True


def square(entry: Entry, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture upright, alpha over white, centre-cropped and reduced: (size, size, 3) uint8."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with _open(entry) as file, Image.open(file) as opened:
            picture = _eight_bits(ImageOps.exif_transpose(opened)).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    flat = Image.alpha_composite(white, picture).convert("RGB")
    return np.array(ImageOps.fit(flat, (size, size), Image.Resampling.LANCZOS))


def _eight_bits(picture: Image) -> Image:
    """A grey picture of 16 bits scaled to 8; pillow's own conversion clips it to white."""
    from PIL import Image

    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.float64)
    return Image.fromarray(np.round(values.clip(0, 65535) / 257).astype(np.uint8))


def _open(entry: Entry) -> BinaryIO:
    if not entry.offset:
        return entry.path.open("rb")
    with entry.path.open("rb") as file:
        file.seek(entry.offset)
        return io.BytesIO(file.read(entry.length))


def _held(name: str) -> bool:
    return sha256(name.lower().encode()).digest()[0] < HELD_OUT
