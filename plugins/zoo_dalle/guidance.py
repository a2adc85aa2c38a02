"""Classifier-free guidance: away from what the net expects of any picture (Ho and Salimans, 2022, arXiv:2207.12598).

    logits = null + s (conditional - null),        softmax(logits) is p(t | c)^s p(t)^(1 - s), normalised

Outside an interval of the picture only the conditional half is computed (Kynkaanniemi et al., 2024, arXiv:2404.07724,
on the same for diffusion): a net that has found the composition needs no pushing, and the steps cost half.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from torch import Tensor

from zoo.errors import RequestError
from zoo_dalle.asking import Asked

if TYPE_CHECKING:
    from zoo_dalle.net import DalleModel


@dataclass(frozen=True)
class Guidance:
    """Strength and the part of the picture that is guided: tokens first ... last - 1."""

    scale: float
    first: int
    last: int

    def at(self, place: int) -> bool:
        """Whether token `place` is guided."""
        return self.first <= place < self.last

    def combine(self, both: Tensor) -> Tensor:
        """(2 B, K), the conditional logits and then the null's, to (B, K)."""
        conditional, null = both.chunk(2)
        return null + self.scale * (conditional - null)


def guidance(
    net: DalleModel, cond: Asked | None, scale: float, start: float, stop: float
) -> Guidance:
    """What was asked for, in tokens; nothing is guided where nothing was asked for, for there both halves are one.

    Raises RequestError for an interval that is none, or a net that has no null.
    """
    if not 0 <= start <= stop <= 1:
        raise RequestError(
            "guidance_from and guidance_until are parts of the picture, 0 <= from <= until <= 1; got "
            f"{start} and {stop}."
        )
    if scale == 1 or cond is None or cond.prefix is None:
        return Guidance(1.0, 0, 0)
    if not net.given.null:
        raise RequestError(
            f"guidance = {scale:g} goes away from the picture without a condition, and this model was trained with one "
            "always (`null: false` in its card's config): leave guidance out, or train with null = true."
        )
    return Guidance(scale, ceil(start * net.length), ceil(stop * net.length))
