"""What a discriminator and a generator minimise, from logits; every loss is a scalar, a mean over pictures.

    non-saturating   L_D = E softplus(-D(x)) + E softplus(D(G(z)))        L_G = E softplus(-D(G(z)))
    hinge            L_D = E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))     L_G = -E D(G(z))
    R1               gamma / 2 E |grad_x D(x)|^2, over real pictures

Goodfellow et al., 2014, arXiv:1406.2661, section 3; Lim & Ye, 2017, arXiv:1705.02894; Mescheder et al., 2018,
arXiv:1801.04406. With densities p of real pictures and q of made ones, the non-saturating L_D is least at
D(x) = log p(x) - log q(x), where it is 2 log 2 - 2 JS(p, q); the hinge L_D at D(x) = sign(p(x) - q(x)), where it is
2 - |p - q|_1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def logistic_discriminator(real: Tensor, made: Tensor) -> Tensor:
    """Goodfellow's L_D () of logits (B,) and (B',)."""
    return F.softplus(-real).mean() + F.softplus(made).mean()


def logistic_generator(made: Tensor) -> Tensor:
    """The non-saturating L_G () of logits (B,)."""
    return F.softplus(-made).mean()


def hinge_discriminator(real: Tensor, made: Tensor) -> Tensor:
    """The hinge L_D () of logits (B,) and (B',)."""
    return F.relu(1 - real).mean() + F.relu(1 + made).mean()


def hinge_generator(made: Tensor) -> Tensor:
    """The hinge L_G () of logits (B,)."""
    return -made.mean()


DISCRIMINATOR: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "non-saturating": logistic_discriminator,
    "hinge": hinge_discriminator,
}
GENERATOR: Mapping[str, Callable[[Tensor], Tensor]] = {
    "non-saturating": logistic_generator,
    "hinge": hinge_generator,
}


def r1(judge: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """E |grad_x D(x)|^2 () over images (B, ...), differentiable by the discriminator's parameters."""
    taken = images.detach().requires_grad_()
    (slope,) = torch.autograd.grad(judge(taken).sum(), taken, create_graph=True)
    return slope.square().flatten(1).sum(1).mean()
