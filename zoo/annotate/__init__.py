"""Hints for ControlNets, made from pictures: edges, sketches, regions of colour, skeletons.

    annotate("edges", pictures)           Canny's edges, white on black          `zoo.annotate.canny`
    annotate("hed", pictures)             edges as people draw them, soft        `zoo.annotate.hed`
    annotate("sketch", pictures)          thin strokes, white on black           `zoo.annotate.sketch`
    annotate("semantic", pictures)        regions in their mean colour           `zoo.annotate.colours`
    annotate("pose", keypoints, size=...) a skeleton on black                    `zoo.annotate.pose`

Pictures and hints are in [-1, 1], as all pictures of the zoo; the functions in the modules work in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zoo.annotate.canny import canny
from zoo.annotate.colours import clustered, painted
from zoo.annotate.hed import load as hed_net
from zoo.annotate.pose import pose
from zoo.annotate.sketch import sketch
from zoo.errors import RequestError, nearest
from zoo.images import Images


def hed(images: Tensor) -> Tensor:
    """The probability (B, 1, H, W) of an edge, of pictures (B, 3, H, W) in [0, 1]."""
    found: Tensor = hed_net().to(images.device)(images.float()).to(images.dtype)
    return found


def semantic(images: Tensor, colours: int = 6, rounds: int = 8, smooth: int = 1) -> Tensor:
    """Each region of colour in its mean, (B, C, H, W), of pictures (B, C, H, W) in [0, 1]."""
    return painted(*clustered(images, colours, rounds, smooth))


KINDS: dict[str, Callable[..., Tensor]] = {
    "edges": canny,
    "hed": hed,
    "sketch": sketch,
    "semantic": semantic,
    "pose": pose,
}


@torch.no_grad()
def annotate(kind: str, given: Any, **options: Any) -> Images:
    """Hints (B, 1 or 3, H, W) of a kind, of pictures (of keypoints for "pose"); `options` are the function's own.

    Raises RequestError for another kind or option, ImageError for what is no picture, DataError without HED's weights.
    """
    if kind not in KINDS:
        raise RequestError(
            f"There is no annotator {kind!r}.{nearest(kind, KINDS)} There are {', '.join(KINDS)}."
        )
    source = given if kind == "pose" else (Images.read(given, 3).tensor + 1) / 2
    try:
        found = KINDS[kind](source, **options)
    except TypeError as error:
        raise RequestError(f"annotate({kind!r}): {error}.") from error
    return Images(found.clamp(0, 1) * 2 - 1)
