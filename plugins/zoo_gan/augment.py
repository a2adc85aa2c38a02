"""Differentiable augmentation: the discriminator sees real and made pictures through the same random changes.

    L_D = E f(D(T(x))) + E g(D(T(G(z)))),   L_G through T as well

(DiffAugment, Zhao et al., 2020, arXiv:2006.10738.) A generator is not rewarded for the changes themselves, because
real pictures carry them too; a discriminator cannot learn small sets by heart. Draws are from torch's global
generator, which the trainer seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def colour(images: Tensor) -> Tensor:
    """Brightness +- 0.5, saturation 0 to 2, contrast 0.5 to 1.5, of (B, C, H, W)."""
    brightness, saturation, contrast = torch.rand(
        3, len(images), 1, 1, 1, dtype=images.dtype, device=images.device
    )
    images = images + brightness - 0.5
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * 2 * saturation
    middle = images.mean((1, 2, 3), keepdim=True)
    out: Tensor = middle + (images - middle) * (contrast + 0.5)
    return out


def translation(images: Tensor) -> Tensor:
    """Moved by up to an eighth of the side in each direction; black (0 in [-1, 1] is grey) comes in as 0."""
    count, _, height, width = images.shape
    far = (max(1, height // 8), max(1, width // 8))
    padded = F.pad(images, (far[1], far[1], far[0], far[0]))
    down, right = (torch.randint(0, 2 * each + 1, (count, 1), device=images.device) for each in far)
    rows = (down + torch.arange(height, device=images.device))[:, :, None]  # (B, H, 1)
    columns = (right + torch.arange(width, device=images.device))[:, None, :]  # (B, 1, W)
    each = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[each, rows, columns].permute(0, 3, 1, 2)


def cutout(images: Tensor) -> Tensor:
    """A square of half the side set to 0, its middle anywhere."""
    count, _, height, width = images.shape
    place = torch.rand(2, count, 1, 1, device=images.device)
    rows = torch.arange(height, device=images.device)[None, :, None]
    columns = torch.arange(width, device=images.device)[None, None, :]
    near = ((rows - place[0] * height).abs() < height / 4) & (
        (columns - place[1] * width).abs() < width / 4
    )
    return images * (~near[:, None]).to(images.dtype)


CHANGES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "colour": colour,
    "translation": translation,
    "cutout": cutout,
}


def augmented(images: Tensor, changes: Sequence[str]) -> Tensor:
    """Images (B, C, H, W) through the named changes, drawn anew for each picture."""
    for name in changes:
        images = CHANGES[name](images)
    return images
