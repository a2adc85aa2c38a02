"""Sketches: the lines of a picture or of a rough drawing, made thin, and without what is too short to be meant.

    lines      D = (1 + p) G_sigma * x - p G_1.6sigma * x,  ink where D < dark       (XDoG, Winnemoeller et al., 2012,
               10.1016/j.cag.2012.03.004, without its soft threshold)
    thin       Zhang and Suen's parallel thinning (1984, 10.1145/357994.358023), until nothing changes; with three
               neighbours at least, so that slanting lines stay (Lue and Wang, 1986, 10.1145/5666.5670)
    kept       connected strokes of `least` pixels or more

Rough lines drawn several times lie within one blurred line and come out as one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.annotate.canny import blurred

RING = (
    (-1, 0),
    (-1, 1),
    (0, 1),
    (1, 1),
    (1, 0),
    (1, -1),
    (0, -1),
    (-1, -1),
)  # from above, clockwise


def sketch(
    images: Tensor, sigma: float = 1.0, sharpness: float = 10.0, dark: float = 0.7, least: int = 6
) -> Tensor:
    """Strokes (B, 1, H, W), 0 or 1, of pictures (B, C, H, W) in [0, 1]: dark lines, and the dark sides of edges."""
    grey = images.mean(1, keepdim=True)
    narrow, wide = blurred(grey, sigma), blurred(grey, 1.6 * sigma)
    ink = (1 + sharpness) * narrow - sharpness * wide < dark
    return kept(thinned(ink), least).to(images.dtype)


def thinned(ink: Tensor) -> Tensor:
    """Lines one pixel wide through (B, 1, H, W) bool; what is connected stays so."""
    found = ink.clone()
    while True:
        before = found
        for step in (0, 1):
            found = found & ~_removable(found, step)
        if torch.equal(found, before):
            return found


def _removable(ink: Tensor, step: int) -> Tensor:
    height, width = ink.shape[2:]
    padded = F.pad(ink, (1, 1, 1, 1))
    p = [padded[:, :, 1 + i : 1 + i + height, 1 + j : 1 + j + width] for i, j in RING]
    count = torch.stack(p).sum(0)
    changes = torch.stack([~a & b for a, b in zip(p, [*p[1:], p[0]], strict=True)]).sum(0)
    up, right, down, left = p[0], p[2], p[4], p[6]
    sides = (
        (up & right & down, right & down & left)
        if step == 0
        else (up & right & left, up & down & left)
    )
    return ink & (count >= 3) & (count <= 6) & (changes == 1) & ~sides[0] & ~sides[1]


def kept(ink: Tensor, least: int) -> Tensor:
    """What of (B, 1, H, W) bool is connected, diagonally too, in strokes of `least` pixels or more."""
    if least <= 1:
        return ink
    batch, _, height, width = ink.shape
    numbers = torch.arange(1, height * width + 1, dtype=torch.float64, device=ink.device)
    names = numbers.view(1, 1, height, width).expand_as(ink) * ink
    while True:  # each stroke takes the largest number in it
        spread = F.max_pool2d(names, 3, 1, 1) * ink
        if torch.equal(spread, names):
            break
        names = spread
    found = names.long().view(batch, -1)
    sizes = torch.zeros(batch, height * width + 1, dtype=torch.long, device=ink.device)
    sizes.scatter_add_(1, found, torch.ones_like(found))
    return (sizes.gather(1, found) >= least).view_as(ink) & ink
