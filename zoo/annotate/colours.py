"""Segmentation by colour: the few colours that a picture is made of, and which of them each pixel is nearest to.

Lloyd's iterations (1982, 10.1109/TIT.1982.1056489) on the colours of one picture's pixels: each pixel to the nearest of
K colours, each colour to the mean of its pixels. They begin at the picture's commonest colour and then, K - 1 times, at
the pixel farthest from all chosen so far (Gonzalez, 1985, 10.1016/0304-3975(85)90224-5), so nothing is drawn at random.
Single pixels then go to what most of their neighbours are, which takes the fringes between regions away.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BINS = 8  # a side of the histogram in which the commonest colour is looked for


def clustered(
    images: Tensor, colours: int = 6, rounds: int = 8, smooth: int = 1
) -> tuple[Tensor, Tensor]:
    """Labels (B, H, W) int64 and colours (B, K, C) of pictures (B, C, H, W) in [0, 1], K = `colours`.

    rounds  of Lloyd's iterations; `smooth` of the vote among neighbours
    """
    pixels = images.flatten(2).transpose(1, 2)  # (B, N, C)
    means = _begun(pixels, colours)
    labels = nearest(pixels, means)
    for _ in range(rounds):
        chosen = F.one_hot(labels, colours).to(pixels.dtype)  # (B, N, K)
        sizes = chosen.sum(1)[:, :, None]  # (B, K, 1)
        sums = chosen.transpose(1, 2) @ pixels
        means = torch.where(sizes > 0, sums / sizes.clamp(min=1), means)
        labels = nearest(pixels, means)
    found = labels.view(len(images), *images.shape[2:])
    for _ in range(smooth):
        found = voted(found, colours)
    return found, means


def painted(labels: Tensor, colours: Tensor) -> Tensor:
    """Each pixel in its colour: labels (B, H, W) and colours (B, K, C) to pictures (B, C, H, W)."""
    rows = colours.gather(1, labels.flatten(1)[:, :, None].expand(-1, -1, colours.shape[2]))
    return rows.transpose(1, 2).reshape(len(labels), -1, *labels.shape[1:])


def recognised(images: Tensor, colours: Tensor, smooth: int = 1) -> Tensor:
    """Which of given colours (B, K, C) each pixel of pictures (B, C, H, W) is nearest to: (B, H, W) int64."""
    found = nearest(images.flatten(2).transpose(1, 2), colours)
    found = found.view(len(images), *images.shape[2:])
    for _ in range(smooth):
        found = voted(found, colours.shape[1])
    return found


def nearest(pixels: Tensor, colours: Tensor) -> Tensor:
    """(B, N, C) and (B, K, C) to (B, N): the first of the nearest."""
    square = colours.square().sum(2)[:, None] - 2 * pixels @ colours.transpose(1, 2)
    return square.argmin(2)


def voted(labels: Tensor, colours: int) -> Tensor:
    """What most of the 3 x 3 pixels around each are, itself in doubt: (B, H, W) to the same."""
    votes = F.one_hot(labels, colours).permute(0, 3, 1, 2).float()
    votes = F.avg_pool2d(F.pad(votes, (1, 1, 1, 1), mode="replicate"), 3, 1) + votes / 100
    return votes.argmax(1)


def _begun(pixels: Tensor, colours: int) -> Tensor:
    place = (pixels * (BINS - 1e-4)).long().clamp(0, BINS - 1)
    codes = place[:, :, 0]
    for channel in range(1, pixels.shape[2]):
        codes = codes * BINS + place[:, :, channel]
    counts = torch.zeros(len(pixels), BINS ** pixels.shape[2], device=pixels.device)
    counts.scatter_add_(1, codes, torch.ones_like(codes, dtype=counts.dtype))
    common = (codes == counts.argmax(1, keepdim=True)).to(pixels.dtype)[:, :, None]
    chosen = [(pixels * common).sum(1) / common.sum(1)]  # (B, C) each
    far = (pixels - chosen[0][:, None]).square().sum(2)
    for _ in range(colours - 1):
        index = far.argmax(1)[:, None, None].expand(-1, 1, pixels.shape[2])
        chosen.append(pixels.gather(1, index)[:, 0])
        far = torch.minimum(far, (pixels - chosen[-1][:, None]).square().sum(2))
    return torch.stack(chosen, dim=1)
