"""Maps of what is where: read from a request, made of training pictures, and as rows that a net attends to.

    rows = E * map + places,   E a convolution of P x P places in steps of P;   where there is no map: nothing + places

(A conditioning encoder of its own for cross-attention: Rombach et al., 2022, arXiv:2112.10752, section 3.3; patches as
in Dosovitskiy et al., 2021, arXiv:2010.11929.) A map has the sides (h, w) of the latents, and as many channels as the
model says: colours of regions, or one channel for each kind of thing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import annotate, options
from zoo.errors import RequestError
from zoo.images import Images


class MapRows(nn.Module):
    """Maps (B, channels, h, w) to rows (B, h w / patch^2, width).

    Raises ValueError for sides that `patch` does not divide.
    """

    def __init__(self, width: int, sides: Sequence[int], channels: int, patch: int = 1) -> None:
        super().__init__()
        if patch < 1 or any(side % patch for side in sides):
            raise ValueError(f"maps of {tuple(sides)} are not made of patches of {patch}")
        count = (sides[0] // patch) * (sides[1] // patch)
        self.channels = channels
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.places = nn.Parameter(torch.randn(count, width) * 0.02)
        self.nothing = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, maps: Tensor) -> Tensor:
        rows: Tensor = self.patches(maps).flatten(2).transpose(1, 2)
        return rows + self.places

    def none(self, count: int) -> Tensor:
        """The rows (count, n, width) where there is no map."""
        return (self.nothing + self.places).expand(count, -1, -1)


def beside(told: Mapping[str, Any], rows: Tensor) -> dict[str, Any]:
    """What a net is told, with these rows (B, n, D) after those of a text, if there is one."""
    text, allowed = told.get("text"), told.get("text_allowed")
    if text is None:
        return {**told, "text": rows}
    both = {**told, "text": torch.cat([text, rows], 1)}
    if allowed is not None:
        every = torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device)
        both["text_allowed"] = torch.cat([allowed, every], 1)
    return both


def read(given: Any, channels: int, sides: Sequence[int], batch: int, like: Tensor) -> Tensor:
    """Maps (B, channels, h, w) of a tensor or an array (C, H, W) or (B, C, H, W), a picture or its path.

    Raises RequestError for another shape, ImageError for a picture that cannot be read.
    """
    from PIL import Image

    if isinstance(given, str | os.PathLike | Image.Image):
        maps: Tensor = Images.read(given, channels if channels in (1, 3) else None).tensor
    else:
        try:
            maps = torch.as_tensor(given)
        except (TypeError, ValueError, RuntimeError) as error:
            raise RequestError(
                f"map is a tensor of {channels} channels, or a picture; got {type(given).__name__}: {error}."
            ) from error
    shape = tuple(maps.shape)
    maps = maps[None] if maps.ndim == 3 else maps
    if maps.ndim != 4 or maps.shape[1] != channels:
        raise RequestError(
            f"map must have {channels} channels, ({channels}, H, W) or (B, {channels}, H, W); got {shape}."
        )
    smaller = F.interpolate(maps.to(like), tuple(sides), mode="area")
    return torch.stack(options.one_each(tuple(smaller), batch, "map"))


def of_pictures(
    images: Tensor, channels: int, sides: Sequence[int], annotator: str, how: Mapping[str, Any]
) -> Tensor:
    """Maps (B, channels, h, w) of training pictures (B, C, H, W), by an annotator of `zoo.annotate`.

    Raises RequestError without one, or for one of other channels.
    """
    if not annotator:
        raise RequestError(
            "this net draws from maps, and pictures have none: [objective] annotator = 'semantic' makes them."
        )
    maps = annotate.annotate(annotator, images.clamp(-1, 1), **how).tensor
    if maps.shape[1] != channels:
        raise RequestError(
            f"[objective] annotator = {annotator!r} makes maps of {maps.shape[1]} channels; this net's have {channels}."
        )
    return F.interpolate(maps.to(images), tuple(sides), mode="area")
