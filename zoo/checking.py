"""What goes into a hook and what comes out of it, held against the card.

What a user gives is checked here once, before a hook sees it (ImageError stating both sides); what
a hook answers is checked too (PluginError naming the distribution), so that a wrong shape or a NaN
is told where it arises.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.card import Card
from zoo.errors import ImageError, PluginError
from zoo.images import Images


def images_for(card: Card, images: Any) -> Tensor:
    """Images of the card's shape (B, C, H, W) from whatever a user gives. Raises ImageError."""
    channels, height, width = card.image
    resize = not isinstance(images, Tensor) and card.multiple is None
    taken = Images.read(images, channels, (height, width) if resize else None).tensor
    given, multiple = tuple(taken.shape[1:]), card.multiple
    same = given == card.image
    fits = multiple and given[0] == channels and not (given[1] % multiple or given[2] % multiple)
    if not (same or fits):
        sizes = f", or other sizes with sides that are multiples of {multiple}" if multiple else ""
        raise ImageError(
            f"{card.name} takes images {_times(card.image)} (C, H, W){sizes}; got {_times(given)}. "
            f"Resize first: zoo.Images.read(paths, channels={channels}, "
            f"size={height if height == width else (height, width)})."
        )
    return taken


def latents_for(card: Card, latents: Any) -> Tensor:
    """Latents (B, *Z) that the card's model can decode; tokens as int64. Raises ImageError."""
    if not isinstance(latents, Tensor):
        raise ImageError(
            f"{card.name} decodes a tensor of latents (B, {_times(card.latent)}), got "
            f"{type(latents).__name__}."
        )
    if card.latent is not None:
        wrong = latents.ndim != len(card.latent) + 1 or 0 in latents.shape
        if wrong or (card.multiple is None and tuple(latents.shape[1:]) != card.latent):
            raise ImageError(
                f"{card.name} decodes latents (B, {_times(card.latent)}), "
                f"got {tuple(latents.shape)}."
            )
    if card.codes is None:
        return latents
    if latents.dtype.is_floating_point or latents.dtype == torch.bool:
        raise ImageError(f"{card.name} decodes tokens, which are int64; got {latents.dtype}.")
    low, high = (int(each) for each in latents.aminmax())
    if low < 0 or high >= card.codes:
        raise ImageError(f"{card.name} has tokens 0 .. {card.codes - 1}; got {low} .. {high}.")
    return latents.long()


def answered(card: Card, who: str, hook: str, answer: Any, count: int) -> Tensor:
    """What a hook answered for `count` images, if it keeps the contract.

    Raises PluginError beginning with `who`, the distribution to blame.
    """
    told = f"{who}: {hook} of {card.title}"
    if not isinstance(answer, Tensor):
        raise PluginError(f"{told} answered {type(answer).__name__}, not a tensor.")
    plain: Tensor = answer.detach().as_subclass(Tensor)
    shape, kind = tuple(plain.shape), plain.dtype
    if hook == "log_prob":
        if shape != (count,) or not kind.is_floating_point or bool(plain.isnan().any()):
            raise PluginError(
                f"{told} must answer one number of nats an image, ({count},); got {kind} {shape}."
            )
    elif hook == "encode":
        if shape[:1] != (count,) or (
            card.latent is not None and len(shape) != len(card.latent) + 1
        ):
            raise PluginError(
                f"{told} must answer latents ({count}, {_times(card.latent)}); got {shape}."
            )
        if card.latent_kind == "tokens" and kind != torch.int64:
            raise PluginError(f"{told} must answer tokens as int64; got {kind}.")
    elif len(shape) != 4 or shape[:2] != (count, card.image[0]) or not kind.is_floating_point:
        raise PluginError(
            f"{told} must answer float images ({count}, {card.image[0]}, H, W); got {kind} {shape}."
        )
    elif not bool(torch.isfinite(plain).all()):
        raise PluginError(
            f"{told} answered NaN or infinity. In half precision, try dtype=torch.float32."
        )
    return plain


def _times(shape: tuple[int, ...] | None) -> str:
    return "any" if shape is None else "x".join(map(str, shape))
