"""Pictures in and out: (B, C, H, W) float in [-1, 1] inside; PIL, numpy and paths outside.

From 8 bits k = 0 .. 255: x = k / 127.5 - 1. To 8 bits: k = round((x + 1) * 127.5), clamped, which
gives the same k.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

SLACK = 1e-3  # how far outside [-1, 1] rounding may take an image
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # channels -> PIL


class Images(Tensor):
    """A float tensor (B, C, H, W) in [-1, 1] that saves, tiles, and shows itself in a notebook.

    Everything a tensor can do gives plain tensors; only an index or a slice of the batch gives
    Images.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls: type[Images], tensor: Tensor) -> Images:
        """Wrap a tensor without a copy.

        Raises ImageError unless it is a batch of images in [-1, 1].
        """
        return checked(tensor).as_subclass(cls)

    @classmethod
    def read(
        cls, source: Any, channels: int | None = None, size: int | tuple[int, int] | None = None
    ) -> Images:
        """Images from a tensor, an array, a PIL image, a path, or a list of these.

        Those of a list have one size, or `size` is given.

        Tensors are (C, H, W) or (B, C, H, W), float in [-1, 1]; arrays are (H, W), (H, W, C) or (B,
        H, W, C) uint8, or float like tensors. `channels` (1, 3 or 4) converts files and PIL images;
        transparency is laid on white. `size` (a side or (height, width)) crops the middle to that
        shape and resizes, which tensors are not. Raises ImageError saying what was given and what
        is taken.
        """
        if isinstance(source, Images):
            return source
        if isinstance(source, Tensor):
            return cls(source)
        if isinstance(source, str | os.PathLike) or _is_pil(source) or _is_array(source):
            return cls(_one(source, channels, size))
        if not isinstance(source, Sequence) or not source:
            raise ImageError(
                "Images are a tensor, an array, a PIL image, a path or a list of these; got "
                f"{'an empty list' if isinstance(source, Sequence) else type(source).__name__}."
            )
        rows = [_one(each, channels, size) for each in source]
        shapes = sorted({tuple(each.shape[1:]) for each in rows})
        if len(shapes) > 1:
            raise ImageError(
                f"Images of {len(shapes)} shapes cannot be one batch: {shapes[0]} and {shapes[1]} "
                "(C, H, W). Give `size=` (and `channels=`) to Images.read, or take them one at a "
                "time."
            )
        return cls(torch.cat(rows))

    @property
    def tensor(self) -> Tensor:
        """The same numbers as a plain tensor."""
        return self.as_subclass(Tensor)

    def __getitem__(self, index: Any) -> Tensor:
        """An index or a slice of the batch is Images; anything finer is a tensor."""
        got = self.tensor[index]
        if isinstance(index, int):
            got = got.unsqueeze(0)
        return got.as_subclass(Images) if isinstance(index, int | slice) else got

    def __iter__(self) -> Iterator[Images]:
        """One picture after another, each a batch of one."""
        return (Images(each) for each in self.tensor)

    def __deepcopy__(self, memo: dict[int, Any]) -> Images:
        return Images(self.tensor.clone())

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        count, channels, height, width = self.shape
        return f"Images({count} of {channels}x{height}x{width}, {self.dtype} on {self.device})"

    def uint8(self) -> np.ndarray[Any, Any]:
        """8-bit array (B, H, W, C)."""
        return to_uint8(self.tensor).permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def pil(self) -> list[Image.Image]:
        """PIL images, one a picture: L, RGB or RGBA by the number of channels."""
        from PIL import Image

        if self.shape[1] not in MODES:
            raise ImageError(
                f"A picture has 1, 3 or 4 channels, these images have {self.shape[1]}."
            )
        return [
            Image.fromarray(each.squeeze(-1) if each.shape[-1] == 1 else each)
            for each in self.uint8()
        ]

    def grid(self, columns: int | None = None, gap: int = 2) -> Images:
        """All pictures tiled row by row into one, on white; about square without `columns`."""
        count, channels, height, width = self.shape
        columns = columns or math.ceil(math.sqrt(count))
        rows = math.ceil(count / columns)
        canvas = self.tensor.new_ones(
            1, channels, rows * (height + gap) - gap, columns * (width + gap) - gap
        )
        for index, image in enumerate(self.tensor):
            top, left = index // columns * (height + gap), index % columns * (width + gap)
            canvas[0, :, top : top + height, left : left + width] = image
        return Images(canvas)

    def save(self, path: str | os.PathLike[str], columns: int | None = None) -> list[Path]:
        """Write pictures to files; returns them.

        A path that ends in a picture's suffix holds all of them tiled (`columns`); a folder holds
        000.png, 001.png, ...
        """
        path = Path(path)
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            (self if len(self) == 1 else self.grid(columns)).pil()[0].save(path)
            return [path]
        path.mkdir(parents=True, exist_ok=True)
        digits = max(3, len(str(len(self) - 1)))
        files = [path / f"{index:0{digits}d}.png" for index in range(len(self))]
        for file, picture in zip(files, self.pil(), strict=True):
            picture.save(file)
        return files

    def _repr_png_(self) -> bytes:
        """What a notebook shows: all pictures, tiled."""
        buffer = io.BytesIO()
        self.grid().pil()[0].save(buffer, "PNG")
        return buffer.getvalue()


def checked(tensor: Tensor, what: str = "Images") -> Tensor:
    """`tensor` as a batch of images (B, C, H, W), a single one (C, H, W) given a batch of one.

    Raises ImageError.
    """
    plain = tensor.as_subclass(Tensor)
    if not plain.dtype.is_floating_point:
        raise ImageError(
            f"{what} must be floating point in [-1, 1], got {plain.dtype}. From 8 bits: x / 127.5 "
            "- 1, or zoo.Images.read(array) of a uint8 (B, H, W, C) numpy array."
        )
    if plain.ndim not in (3, 4) or 0 in plain.shape:
        raise ImageError(
            f"{what} must be (B, C, H, W) or (C, H, W) and not empty, got {tuple(plain.shape)}."
        )
    low, high = (float(each) for each in plain.detach().aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageError(f"{what} hold NaN or infinity: look at what made them.")
    if low < -1 - SLACK or high > 1 + SLACK:
        hint = (
            " They look like 0 .. 255: x / 127.5 - 1."
            if low >= 0 and high > 2
            else " Rescale or clamp them."
        )
        raise ImageError(f"{what} must lie in [-1, 1], these in [{low:.4g}, {high:.4g}].{hint}")
    return plain if plain.ndim == 4 else plain.unsqueeze(0)


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] to 8 bits, of the same shape: round((x + 1) * 127.5), clamped."""
    return images.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def from_uint8(images: Tensor) -> Tensor:
    """8 bits to float32 in [-1, 1], of the same shape: k / 127.5 - 1."""
    return images.float().div(127.5).sub(1)


def _one(source: Any, channels: int | None, size: int | tuple[int, int] | None) -> Tensor:
    """One image, or an array of several, as (B, C, H, W)."""
    if isinstance(source, Tensor):
        return checked(source)
    if _is_array(source):
        return _from_array(source)
    if not _is_pil(source):
        source = _open(source)
    from PIL import Image, ImageOps

    source = ImageOps.exif_transpose(source)
    if (source.mode in ("RGBA", "LA", "PA") or "transparency" in source.info) and channels != 4:
        clear = source.convert("RGBA")
        source = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    if channels not in (None, *MODES):
        raise ImageError(f"Pictures are read with 1, 3 or 4 channels, not {channels}.")
    source = source.convert(
        MODES[channels] if channels else "L" if source.mode in ("1", "L") else "RGB"
    )
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        source = ImageOps.fit(source, (width, height), Image.Resampling.LANCZOS)
    import numpy as np

    return _from_array(np.array(source))


def _from_array(array: np.ndarray[Any, Any]) -> Tensor:
    if array.dtype.kind == "f":
        return checked(torch.from_numpy(array.copy()))
    if array.dtype != "uint8":
        raise ImageError(f"An array must be uint8 or floating point in [-1, 1], got {array.dtype}.")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim not in (3, 4) or array.shape[-1] not in MODES:
        raise ImageError(
            "A uint8 array must be (H, W), (H, W, C) or (B, H, W, C) with 1, 3 or 4 channels "
            f"last, got {array.shape}."
        )
    batch = torch.from_numpy(array.copy()).reshape(-1, *array.shape[-3:])  # (B, H, W, C)
    return from_uint8(batch).permute(0, 3, 1, 2).contiguous()


def _open(path: Any) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such file.") from error
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path}: cannot be read as a picture: {error}.") from error


def _is_pil(source: Any) -> bool:
    return type(source).__module__.startswith("PIL.") or any(
        each.__module__ == "PIL.Image" for each in type(source).__mro__
    )


def _is_array(source: Any) -> bool:
    return type(source).__module__ == "numpy" and hasattr(source, "dtype")
