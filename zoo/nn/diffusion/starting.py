"""Where a run of a sampler begins, and what it keeps of a picture: img2img and filling in.

    image, strength   x at that share of the way up: alpha image + sigma e (Meng et al., 2022, arXiv:2108.01073)
    image, mask       x_0 <- m x_0 + (1 - m) image at every step, m 1 where it is drawn anew

All is in the space that is diffused: pictures, or the latents of an autoencoder (`Start.within`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo import options
from zoo.errors import RequestError
from zoo.images import Images

REQUEST: dict[str, Any] = {"image": None, "strength": 1.0, "mask": None, "steps": 0, "refine": 0}


@dataclass(frozen=True)
class Start:
    """Of B runs.

    image     (B, C, H, W) to begin with, noised as far as `strength` (1: wholly), or to fill in
    mask      (B, 1, H, W), 1 where `image` is to be drawn anew, 0 where it is kept
    """

    image: Tensor | None = None
    strength: float = 1.0
    mask: Tensor | None = None

    def within(self, encode: Callable[[Tensor], Tensor]) -> Start:
        """The same in the space of `encode`, (B, C, H, W) -> (B, c, h, w).

        A place of the mask is drawn anew if any of its pixels is.
        """
        if self.image is None:
            return self
        inner = encode(self.image)
        mask = None
        if self.mask is not None:
            mask = F.adaptive_max_pool2d(self.mask, inner.shape[2:]).to(inner)
        return Start(inner, self.strength, mask)

    def unused(self, what: str) -> None:
        """Raises RequestError where there is a picture, which has no part in `what`."""
        if self.image is not None:
            raise RequestError(
                f"image, with strength or mask, is where a drawing begins, which has no part in {what}: leave it out."
            )

    def steps(self, total: int) -> int:
        """How many of a path's steps are taken, the last ones."""
        return total if self.image is None else max(1, round(self.strength * total))


def begun(wanted: SimpleNamespace, image: tuple[int, ...], batch: int, like: Tensor) -> Start:
    """The start that a request (of at least REQUEST's keys) asks for, of pictures `image` (C, H, W).

    Raises RequestError for what does not fit.
    """
    if wanted.steps < 0 or wanted.refine < 0:
        raise RequestError(
            f"steps and refine are 0 or more; got {wanted.steps} and {wanted.refine}."
        )
    if wanted.image is None and wanted.mask is not None:
        raise RequestError(
            "mask says which part of `image` is drawn anew: give image=pictures as well."
        )
    if not 0 < wanted.strength <= 1:
        raise RequestError(
            f"strength is how far `image` is noised, above 0 up to 1; got {wanted.strength}."
        )
    if wanted.strength != 1 and wanted.image is None:
        raise RequestError("strength says how far `image` is noised: give image=pictures as well.")
    if wanted.image is None:
        return Start()
    mask = None if wanted.mask is None else _mask(wanted.mask, image[1:], batch, like)
    return Start(_pictures(wanted.image, image, batch, like), wanted.strength, mask)


def _pictures(given: Any, image: tuple[int, ...], batch: int, like: Tensor) -> Tensor:
    images = Images.read(given, image[0]).tensor.to(like.device, like.dtype)
    if tuple(images.shape[1:]) != image:
        raise RequestError(
            f"image must be {image} (C, H, W) as the model's pictures, is {tuple(images.shape[1:])}."
        )
    return torch.stack(options.one_each(tuple(images), batch, "image"))


def _mask(given: Any, sides: tuple[int, ...], batch: int, like: Tensor) -> Tensor:
    """(B, 1, H, W) of a tensor, an array or numbers, 0 and 1; of a picture or its path, black and white."""
    from PIL import Image

    if isinstance(given, str | os.PathLike | Image.Image):
        mask = (Images.read(given, 1).tensor + 1) / 2
    else:
        try:
            mask = torch.as_tensor(given)
        except (TypeError, ValueError, RuntimeError) as error:
            raise RequestError(
                f"mask is a tensor of 0 (kept) and 1 (drawn anew), or a black and white picture; got "
                f"{type(given).__name__}: {error}."
            ) from error
    shape = tuple(mask.shape)
    while mask.ndim < 4:
        mask = mask[None]
    if mask.ndim > 4 or mask.shape[1] != 1 or tuple(mask.shape[2:]) != tuple(sides):
        height, width = sides
        raise RequestError(
            f"mask must have the pictures' size, ({height}, {width}) or (B, 1, {height}, {width}), 1 where they are "
            f"drawn anew; got {shape}."
        )
    mask = mask.to(like.device, like.dtype)
    odd = mask[(mask != 0) & (mask != 1)]
    if len(odd):
        raise RequestError(
            f"mask must hold only 0 (kept) and 1 (drawn anew); of {mask.numel():,} numbers {len(odd):,} are others, "
            f"such as {float(odd[0]):g}."
        )
    return torch.stack(options.one_each(tuple(mask), batch, "mask"))
