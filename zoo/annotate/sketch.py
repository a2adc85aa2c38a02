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
    height, width = ink.shape[2:]
    tables = [_removable(step).to(ink.device) for step in (0, 1)]
    found = ink.clone()
    while True:
        before = found
        for table in tables:
            padded = F.pad(found.to(torch.uint8), (1, 1, 1, 1))
            around = torch.zeros_like(found, dtype=torch.uint8)
            for bit, (i, j) in enumerate(RING):
                around |= padded[:, :, 1 + i : 1 + i + height, 1 + j : 1 + j + width] << bit
            found = found & ~table[around.long()]
        if torch.equal(found, before):
            return found


def _removable(step: int) -> Tensor:
    """Whether a pixel goes, (256,) bool by its ring: bit k is its neighbour RING[k]."""
    p = [(torch.arange(256) >> bit & 1).bool() for bit in range(len(RING))]
    count = torch.stack(p).sum(0)
    changes = torch.stack([~a & b for a, b in zip(p, [*p[1:], p[0]], strict=True)]).sum(0)
    up, right, down, left = p[0], p[2], p[4], p[6]
    sides = (
        (up & right & down, right & down & left)
        if step == 0
        else (up & right & left, up & down & left)
    )
    return (count >= 3) & (count <= 6) & (changes == 1) & ~sides[0] & ~sides[1]


def kept(ink: Tensor, least: int) -> Tensor:
    """What of (B, 1, H, W) bool is connected, diagonally too, in strokes of `least` pixels or more."""
    if least <= 1:
        return ink
    batch, _, height, width = ink.shape
    flat = ink.flatten(1)
    found = torch.arange(1, height * width + 1, device=ink.device) * flat
    while True:  # each stroke takes the largest number in it: a neighbour's, and what the pixel of that number has
        before = found
        wide = F.pad(found.view(batch, height, width), (1, 1, 1, 1))
        tall = wide[:, :-2].maximum(wide[:, 1:-1]).maximum(wide[:, 2:])
        found = tall[:, :, :-2].maximum(tall[:, :, 1:-1]).maximum(tall[:, :, 2:]).flatten(1) * flat
        found = found.gather(1, (found - 1).clamp_min(0)) * flat
        if torch.equal(found, before):
            break
    sizes = torch.zeros(batch, height * width + 1, dtype=torch.long, device=ink.device)
    sizes.scatter_add_(1, found, torch.ones_like(found))
    return (sizes.gather(1, found) >= least).view_as(ink) & ink
