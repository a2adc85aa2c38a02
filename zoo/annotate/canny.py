"""Canny's edges: thin lines where the brightness changes most (Canny, 1986, 10.1109/TPAMI.1986.4767851).

    g = grad(G_sigma * x)                                   by Sobel's kernels, of the channel where |g| is largest
    thin:    |g| at least as large as at both neighbours along g, between pixels by linear interpolation
    edges:   thin pixels with |g| >= low that are connected, by thin pixels with |g| >= low, to one with |g| >= high

The blur leaves out what is beyond the border, and the outermost pixels are never edges. Of one channel this is
scikit-image's `feature.canny`, except that x is in [0, 1] whatever it came from.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

GROWN = 8  # steps of growth between two looks at whether anything still grows


def canny(images: Tensor, sigma: float = 1.0, low: float = 0.1, high: float = 0.2) -> Tensor:
    """Edges (B, 1, H, W), 0 or 1, of pictures (B, C, H, W) in [0, 1].

    sigma      of the blur, in pixels; 0: none
    low, high  of the gradient: a step from black to white has 4 at most, 4 / (sqrt(2 pi) sigma) when blurred widely
    """
    x = blurred(images, sigma)
    across, down = sobel(x)  # (B, C, H, W) each
    size = torch.hypot(across, down)
    channel = size.argmax(1, keepdim=True)
    across, down, size = (each.gather(1, channel) for each in (across, down, size))
    thin = _thin(across, down, size) & (size >= low) & _inside(size)
    return _grown(thin & (size >= high), thin).to(images.dtype)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, C, H, W), as far as 4 sigma; near the border of what is there."""
    if sigma <= 0:
        return images
    reach = int(4 * sigma + 0.5)
    places = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    row = torch.exp(-(places**2) / (2 * sigma**2))
    row = row / row.sum()
    there = torch.ones_like(images[:1, :1])
    return _across(_across(images, row).transpose(2, 3), row).transpose(2, 3) / (
        _across(_across(there, row).transpose(2, 3), row).transpose(2, 3)
    )


def _across(x: Tensor, row: Tensor) -> Tensor:
    reach = len(row) // 2
    flat = x.reshape(-1, 1, *x.shape[2:])
    return F.conv2d(flat, row.view(1, 1, 1, -1), padding=(0, reach)).view(x.shape)


def sobel(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel's derivatives to the right and downwards, of (B, C, H, W); a copy of the border lies beyond it."""
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).to(x)
    flat = F.pad(x.reshape(-1, 1, *x.shape[2:]), (1, 1, 1, 1), mode="replicate")
    found = F.conv2d(flat, torch.stack([kernel, kernel.t()])[:, None])
    across, down = found.view(*x.shape[:2], 2, *x.shape[2:]).unbind(2)
    return across, down


def _thin(across: Tensor, down: Tensor, size: Tensor) -> Tensor:
    height, width = size.shape[2:]
    padded = F.pad(size, (1, 1, 1, 1))

    def at(i: int, j: int) -> Tensor:
        return padded[:, :, 1 + i : 1 + i + height, 1 + j : 1 + j + width]

    steep = down.abs() > across.abs()
    least = torch.where(steep, across.abs() / down.abs(), down.abs() / across.abs()).nan_to_num()
    rising = (across >= 0) == (down >= 0)  # along the falling diagonal of the picture, or the other

    def beside(sign: int) -> Tensor:
        """The size one step along the gradient, `sign` 1, or against it."""
        i = torch.where(down >= 0, sign, -sign)
        straight = torch.where(steep, torch.where(i > 0, at(1, 0), at(-1, 0)), size)
        j = torch.where(across >= 0, sign, -sign)
        straight = torch.where(steep, straight, torch.where(j > 0, at(0, 1), at(0, -1)))
        falling = torch.where(i > 0, at(1, 1), at(-1, -1))
        other = torch.where(i > 0, at(1, -1), at(-1, 1))
        return straight * (1 - least) + torch.where(rising, falling, other) * least

    return (size >= beside(1)) & (size >= beside(-1))


def _inside(x: Tensor) -> Tensor:
    mask = torch.zeros_like(x[:1, :1], dtype=torch.bool)
    mask[:, :, 1:-1, 1:-1] = True
    return mask


def _grown(seeds: Tensor, within: Tensor) -> Tensor:
    """What of `within` is connected to `seeds`, diagonally too."""
    found, allowed = seeds.float(), within.float()
    growing = torch.arange(len(found), device=found.device)
    while len(growing):
        before, room = found[growing], allowed[growing]
        after = before
        for _ in range(GROWN):
            after = F.max_pool2d(after, 3, 1, 1) * room
        found[growing] = after
        growing = growing[(after != before).flatten(1).any(1)]
    return found > 0
