"""How near a reconstruction is to its original: MSE, PSNR and SSIM, one value a picture.

    PSNR(x, y) = 10 log10(255^2 / mean((x - y)^2))   [dB]
    SSIM(x, y) = mean_p (2 mx my + c1)(2 vxy + c2) / ((mx^2 + my^2 + c1)(vx + vy + c2))

x and y are 8-bit pictures. In SSIM (Wang et al., 2004, doi:10.1109/TIP.2003.819861) means,
variances and the covariance at p are weighted with an 11 x 11 Gaussian of deviation 1.5, over
windows that lie wholly inside the picture; c1 = (0.01 * 255)^2, c2 = (0.03 * 255)^2; channels are
averaged.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import ImageError

PEAK = 255.0
PERFECT = 60.0  # dB; a picture rebuilt without any error counts this, so that a mean stays finite
WINDOW, DEVIATION = 11, 1.5


def _pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x.shape != y.shape or x.ndim != 4:
        raise ImageError(
            "A picture is compared with one of its own shape, both (B, C, H, W); "
            f"got {tuple(x.shape)} and {tuple(y.shape)}."
        )
    if x.dtype != torch.uint8 or y.dtype != torch.uint8:
        raise ImageError(
            f"Pictures are compared in 8 bits, as saved; got {x.dtype} and {y.dtype}. "
            "`zoo.images.to_uint8` rounds images in [-1, 1]."
        )
    return x, y


def mse(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference (B,) in squared grey levels of uint8 pictures (B, C, H, W)."""
    x, y = _pair(x, y)
    difference = x.to(torch.int32) - y.to(torch.int32)
    return difference.square_().flatten(1).sum(1).double().cpu() / difference[0].numel()


def decibels(error: float) -> float:
    """PSNR in dB of a mean squared error in squared grey levels; at most 60."""
    return PERFECT if error <= 0 else min(PERFECT, 10 * math.log10(PEAK**2 / error))


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """PSNR (B,) in dB, at most 60, of uint8 pictures (B, C, H, W) of one shape."""
    ratio = mse(x, y).clamp_min_(PEAK**2 / 10 ** (PERFECT / 10)) / PEAK**2
    return -10 * ratio.log10()


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """SSIM (B,) of uint8 pictures (B, C, H, W) with H and W at least 11; ImageError if not."""
    x, y = _pair(x, y)
    if min(x.shape[2:]) < WINDOW:
        raise ImageError(
            f"SSIM's window has {WINDOW} pixels a side, the pictures {x.shape[2]} x {x.shape[3]}."
        )
    # float64: in a flat bright picture the variances are differences of nearly equal numbers
    a, b = (each.double().flatten(0, 1).unsqueeze(1) / PEAK for each in (x, y))  # (B C, 1, H, W)
    offsets = torch.arange(WINDOW, device=a.device).to(a) - WINDOW // 2
    line = torch.exp(-offsets.square() / (2 * DEVIATION**2))
    line = line / line.sum()

    def weighted(values: Tensor) -> Tensor:
        rows = F.conv2d(values, line.view(1, 1, 1, WINDOW))
        return F.conv2d(rows, line.view(1, 1, WINDOW, 1))

    ma, mb = weighted(a), weighted(b)
    va, vb = weighted(a * a) - ma * ma, weighted(b * b) - mb * mb
    vab = weighted(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    score = (2 * ma * mb + c1) * (2 * vab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    return score.view(*x.shape[:2], -1).mean((1, 2)).cpu()
