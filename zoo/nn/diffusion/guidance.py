"""Guidance: what a condition is made to weigh.

    classifier-free   D = D_null + w (D_cond - D_null)           Ho & Salimans, 2022, arXiv:2207.12598; w = 1: none
        interval      only where sigma / alpha is within it      Kynkaanniemi et al., 2024, arXiv:2404.07724
        rescaling     D pulled to the deviation of D_cond        Lin et al., 2023, arXiv:2305.08891, eqs. 15 and 16
    classifier        e - w sigma grad_x ln p(y | x)             Dhariwal & Nichol, 2021, arXiv:2105.05233, algorithm 2
    dynamic thresholding   x_0 cut at a quantile of |x_0|        Saharia et al., 2022, arXiv:2205.11487, section 2.3

Guidance acts on the net's answer, thresholding on the picture that follows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.nn.diffusion.levels import Level
from zoo.nn.diffusion.predictions import Predicted


def classifier_free(
    with_it: Tensor, without: Tensor, weight: float, rescale: float = 0.0
) -> Tensor:
    """Answers (B, C, H, W) of the net with and without the condition, mixed."""
    mixed = torch.lerp(without, with_it, weight)
    if not rescale:
        return mixed
    over = tuple(range(1, mixed.ndim))
    ratio = with_it.std(over, keepdim=True) / mixed.std(over, keepdim=True)
    return mixed * (rescale * ratio + (1 - rescale))


def gradient(log_likelihood: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient by x (B, C, H, W) of log likelihoods (B,)."""
    with torch.enable_grad():
        given = x.detach().requires_grad_()
        found: Tensor = torch.autograd.grad(log_likelihood(given).sum(), given)[0]
    return found


def pushed(found: Predicted, x: Tensor, level: Level, push: Tensor) -> Predicted:
    """The prediction with the score moved by `push`, the gradient of a log likelihood by x."""
    eps = found.eps - push * level.sigma
    return found._replace(eps=eps, x0=(x - eps * level.sigma) / level.alpha)


def dynamic(x0: Tensor, share: float, most: float = float("inf")) -> Tensor:
    """x_0 clamped to +-s and divided by s, s a picture's `share` quantile of |x_0|, at least 1 and at most `most`."""
    wide = x0 if x0.dtype in (torch.float32, torch.float64) else x0.float()
    bound = wide.abs().flatten(1).quantile(share, dim=1).clamp(1, most)
    bound = bound.view(-1, *(1,) * (x0.ndim - 1))
    return (wide.clamp(-bound, bound) / bound).to(x0.dtype)
