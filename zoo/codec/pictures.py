"""Pictures as files have them, and as a model takes them, without losing a bit.

A model of three channels takes grey pictures as three equal ones; a model of one channel takes RGB
pictures whose channels are equal; black and white pictures (mode 1) are grey ones of 0 and 255;
an alpha channel that is 255 everywhere is noted and left out; a palette becomes the colours it
stands for. Whatever cannot be kept exactly is refused with the remedy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zoo.codec.intervals import Array
from zoo.errors import CodecError, ImageError
from zoo.images import Images, from_uint8, to_uint8

if TYPE_CHECKING:
    from PIL import Image

MODES = ("L", "RGB", "1", "LA", "RGBA")  # their places are written into streams
COLOURS = {"L": 1, "RGB": 3, "1": 1, "LA": 1, "RGBA": 3}  # channels without alpha
SLACK = 1e-3  # grey levels that a float may be away from 8 bits


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture: uint8 (C, H, W) without alpha, its mode (of MODES) and the file it came from."""

    pixels: Array
    mode: str
    name: str = ""
    source_bytes: int = 0  # size of that file

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Picture:
        """Read a file. Raises ImageError for what cannot be kept without loss."""
        from PIL import Image, UnidentifiedImageError

        path = Path(path)
        try:
            with Image.open(path) as picture:
                picture.load()
                return cls.of(picture, path.name, path.stat().st_size)
        except FileNotFoundError as error:
            raise ImageError(f"{path}: there is no such file.") from error
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from None
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
            raise ImageError(f"{path}: cannot be read as a picture: {error}.") from error

    @classmethod
    def of(cls, picture: Image.Image, name: str = "", source_bytes: int = 0) -> Picture:
        """Take a PIL image, turned upright as its EXIF says. Raises ImageError."""
        from PIL import ImageOps

        if getattr(picture, "n_frames", 1) > 1:
            raise ImageError(
                f"it holds {getattr(picture, 'n_frames', 1)} pictures (an animation); save them "
                "one by one."
            )
        picture = ImageOps.exif_transpose(picture)
        if picture.mode == "P" or "transparency" in picture.info:
            clear = picture.convert("RGBA")
            opaque = clear.getchannel("A").getextrema() == (255, 255)
            picture = clear.convert("RGB") if opaque and picture.mode == "P" else clear
        if picture.mode not in MODES:
            raise ImageError(
                f"its mode is {picture.mode}; the codec keeps 8-bit grey and RGB, and black and "
                "white. Convert a copy first (`picture.convert('RGB')` of Pillow): that is lossy "
                "for 16 bits and CMYK, so it is not done silently."
            )
        array: Array = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
        array = array[..., None] if array.ndim == 2 else array
        colours = COLOURS[picture.mode]
        if array.shape[2] > colours and (array[..., -1] < 255).any():
            raise ImageError(
                "it is transparent in places, and no model here knows transparency. Lay it on a "
                "colour first, or keep its alpha channel as a grey picture of its own."
            )
        pixels = np.ascontiguousarray(array[..., :colours].transpose(2, 0, 1))
        return cls(pixels, picture.mode, name, source_bytes)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        _, height, width = self.pixels.shape
        return height, width

    def pil(self) -> Image.Image:
        """As a PIL image of its mode."""
        from PIL import Image

        array = self.pixels.transpose(1, 2, 0)
        if self.mode in ("LA", "RGBA"):
            array = np.concatenate([array, np.full_like(array[..., :1], 255)], -1)
        image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
        return image.convert("1", dither=Image.Dither.NONE) if self.mode == "1" else image

    def digest(self) -> bytes:
        """16 bytes of mode, size and pixels."""
        digest = blake2b(f"{self.mode} {self.pixels.shape} ".encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.pixels).tobytes())
        return digest.digest()

    def channels(self, wanted: int, binary: bool, model: str) -> Array:
        """The pixels with as many channels as a model takes (C, H, W).

        Raises ImageError where colour, or grey for a `binary` model, would be lost.
        """
        pixels, where = self.pixels, f"{self.name}: " if self.name else ""
        if binary and not np.isin(pixels, (0, 255)).all():
            raise ImageError(
                f"{where}{model} knows black and white pixels alone, and this picture has greys. "
                "Draw it black and white first: zoo.data.binarise(images, generator), or a "
                "threshold of your own."
            )
        if len(pixels) == wanted:
            return pixels
        if len(pixels) == 1:
            return np.repeat(pixels, wanted, 0)
        if wanted == 1 and (pixels == pixels[:1]).all():
            return pixels[:1]
        raise ImageError(
            f"{where}{model} takes pictures of {wanted} channel{'s' * (wanted > 1)}, this one is "
            f"{self.mode} in colours. Choose a model of {len(pixels)} channels, or convert the "
            "picture to grey first."
        )

    @classmethod
    def back(cls, pixels: Array, mode: str, name: str) -> Picture:
        """Undo `channels`. Raises CodecError if the channels do not fit the mode."""
        colours = COLOURS[mode]
        if colours > len(pixels):
            pixels = np.repeat(pixels, colours, 0)
        elif colours < len(pixels):
            if not (pixels == pixels[:1]).all():
                raise CodecError(f"{name or 'a picture'} was grey and came out in colours.")
            pixels = pixels[:1]
        return cls(np.ascontiguousarray(pixels), mode, name)


def pictures_of(images: Any) -> list[Picture]:
    """Pictures from whatever a user gives: a tensor, an array, PIL images, paths, a list of these.

    Raises ImageError, also for floats that are not 8-bit levels: rounding them would be a loss.
    """
    if isinstance(images, Picture):
        return [images]
    if isinstance(images, Tensor):
        return _from_tensor(Images(images).tensor)
    if isinstance(images, str | os.PathLike):
        return [Picture.open(images)]
    if type(images).__module__ == "numpy":
        return _from_tensor(Images.read(images).tensor)
    if isinstance(images, Sequence):
        if not images:
            raise ImageError("There are no pictures to compress: the list is empty.")
        return [picture for each in images for picture in pictures_of(each)]
    if any(each.__module__ == "PIL.Image" for each in type(images).__mro__):
        return [Picture.of(images)]
    raise ImageError(
        "Pictures are a tensor, an array, a PIL image, a path or a list of these; got "
        f"{type(images).__name__}."
    )


def _from_tensor(images: Tensor) -> list[Picture]:
    levels = to_uint8(images)
    off = float((images.double() - levels.double() / 127.5 + 1).abs().max()) * 127.5
    if off > SLACK:
        raise ImageError(
            f"These images are not 8-bit: a number lies {off:.3g} grey levels from the nearest. "
            "Round them first if that loss is meant: zoo.images.from_uint8(to_uint8(images))."
        )
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(levels.shape[1])
    if mode is None:
        raise ImageError(f"A picture has 1, 3 or 4 channels, these have {levels.shape[1]}.")
    array = levels.cpu().numpy()
    if mode == "RGBA" and (array[:, 3] < 255).any():
        raise ImageError("These images are transparent in places; no model knows transparency.")
    return [Picture(np.ascontiguousarray(each[: COLOURS[mode]]), mode) for each in array]


def images_of(pictures: Sequence[Picture]) -> Images | list[Images]:
    """Images in [-1, 1]: one batch where all have one shape, else a list of batches of one."""
    each = [Images(from_uint8(torch.from_numpy(one.pixels.copy())[None])) for one in pictures]
    if len({tuple(one.shape) for one in each}) == 1:
        return Images(torch.cat([one.tensor for one in each]))
    return each
