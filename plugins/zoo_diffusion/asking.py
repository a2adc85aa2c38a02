"""What can be asked of a diffusion model: a label, a picture to begin with or to fill in, and how to score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo import options
from zoo.errors import RequestError
from zoo.images import Images
from zoo_diffusion.net import DiffusionModel


@dataclass(frozen=True)
class Asked:
    """A request for B pictures.

    labels      (B,) int64
    image       (B, C, H, W) to begin with, noised as far as `strength` (1: wholly), or to fill in
    mask        (B, 1, H, W), 1 where `image` is to be drawn anew, 0 where it is kept
    low         (B, C, h, w), the small pictures of a super-resolution model
    steps       of encode, decode and log_prob; 0: as the model would
    refine      rounds of correction of each step of encode
    likelihood  of log_prob: "bound" or "ode"; `exact`: the trace of the latter
    """

    labels: Tensor | None = None
    image: Tensor | None = None
    strength: float = 1.0
    mask: Tensor | None = None
    low: Tensor | None = None
    steps: int = 0
    refine: int = 0
    likelihood: str = "bound"
    exact: bool = False

    def cond(self) -> dict[str, Tensor]:
        """What the network is told of it, apart from the noise on the small pictures."""
        return {} if self.labels is None else {"label": self.labels}


def asked(net: DiffusionModel, request: Mapping[str, Any], batch: int) -> Asked:
    """Read a request. Raises RequestError for what is not known, or does not fit the model."""
    wanted = options.read(
        request, "condition", label=None, image=None, strength=1.0, mask=None, low=None, steps=0,
        refine=0, likelihood="bound", trace="estimate",
    )  # fmt: skip
    like = net.like()
    labels = None
    if wanted.label is not None:
        each = options.labels(wanted.label, net.classes, batch)
        labels = torch.tensor(each, device=like.device)
    image = None if wanted.image is None else _pictures(net, wanted.image, batch, like)
    mask = None if wanted.mask is None else _mask(net, wanted.mask, batch, like)
    if mask is not None and image is None:
        raise RequestError(
            "mask says which part of `image` is drawn anew: give image=pictures as well."
        )
    if not 0 < wanted.strength <= 1:
        raise RequestError(
            f"strength is how far `image` is noised, above 0 up to 1; got {wanted.strength}."
        )
    if wanted.strength != 1 and image is None:
        raise RequestError("strength says how far `image` is noised: give image=pictures as well.")
    for name, given, known in (
        ("likelihood", wanted.likelihood, ("bound", "ode")), ("trace", wanted.trace, ("estimate", "exact")),
    ):  # fmt: skip
        if given not in known:
            raise RequestError(f"{name} must be one of {', '.join(known)}, is {given!r}.")
    if wanted.likelihood == "bound" and net.process.continuous:
        wanted.likelihood = _flow_only(net, request)
    if wanted.steps < 0 or wanted.refine < 0:
        raise RequestError(
            f"steps and refine are 0 or more; got {wanted.steps} and {wanted.refine}."
        )
    return Asked(
        labels, image, wanted.strength, mask, _small(net, wanted.low, batch, like), wanted.steps,
        wanted.refine, wanted.likelihood, wanted.trace == "exact",
    )  # fmt: skip


def _flow_only(net: DiffusionModel, request: Mapping[str, Any]) -> str:
    if request.get("likelihood") == "bound":
        raise RequestError(
            f"The schedule {net.process.schedule!r} is continuous and has no bound term by term: likelihood='ode'."
        )
    return "ode"


def _pictures(net: DiffusionModel, given: Any, batch: int, like: Tensor) -> Tensor:
    images = Images.read(given, net.image[0]).tensor.to(like.device, like.dtype)
    if tuple(images.shape[1:]) != net.image:
        raise RequestError(
            f"image must be {net.image} (C, H, W) as the model's pictures, is {tuple(images.shape[1:])}."
        )
    return torch.stack(options.one_each(tuple(images), batch, "image"))


def _mask(net: DiffusionModel, given: Any, batch: int, like: Tensor) -> Tensor:
    mask = torch.as_tensor(given)
    height, width = net.image[1:]
    while mask.ndim < 4:
        mask = mask[None]
    if mask.ndim > 4 or mask.shape[1] != 1 or tuple(mask.shape[2:]) != (height, width):
        raise RequestError(
            f"mask must have the pictures' size, ({height}, {width}) or (B, 1, {height}, {width}), 1 where they are "
            f"drawn anew; got {tuple(torch.as_tensor(given).shape)}."
        )
    mask = mask.to(like.device, like.dtype)
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise RequestError("mask must hold only 0 (kept) and 1 (drawn anew).")
    return torch.stack(options.one_each(tuple(mask), batch, "mask"))


def _small(net: DiffusionModel, given: Any, batch: int, like: Tensor) -> Tensor | None:
    if given is None:
        return None
    if not net.low:
        raise RequestError(
            "low is the small picture of a super-resolution model, which this is not."
        )
    images = Images.read(given, net.low).tensor.to(like.device, like.dtype)
    return torch.stack(options.one_each(tuple(images), batch, "low"))


def smaller(net: DiffusionModel, images: Tensor) -> Tensor:
    """Pictures (B, C, H, W) as the small ones (B, C, h, w) of a super-resolution model, by averaging."""
    return F.avg_pool2d(images, net.scale)
