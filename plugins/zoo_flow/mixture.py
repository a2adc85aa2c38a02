"""Couplings that bend: each number goes through the distribution function of a mixture of logistics.

    c = sum_k w_k sigmoid((x2 - m_k) / d_k),    y2 = exp(a) * (log c - log(1 - c)) + b,    y1 = x1

with w, m, d, a and b given by a net of x1 (Flow++, Ho et al., 2019, arXiv:1902.00275, equation 13).
An affine coupling can only shift and stretch; this one can take a pixel that is either black or
grey, and nothing between, to one hump. The inverse solves c(x) = sigmoid((y2 - b) / exp(a)) between
the smallest and the largest of m_k + d_k (y2 - b) / exp(a), which bracket it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_flow.bijections import Coupling

ITERATIONS = {torch.float64: 64}  # halvings of the bracket, of which Newton saves most
FARTHEST = 80.0  # deviations from a component: e^-80 is still a float32


class MixtureCoupling(Coupling):
    """As `Coupling`; `net` gives (B, (3 K + 2) C2, H, W): a, b, then K of each of w, m, d."""

    def __init__(self, net: nn.Module, first: int, flip: bool, components: int) -> None:
        super().__init__(net, first, flip)
        self.components = components
        self.centres = nn.Parameter(torch.linspace(-1.5, 1.5, components))

    def mixture(self, stays: Tensor, cond: Tensor | None) -> tuple[Tensor, ...]:
        """a, b (B, C2, H, W) and w, m, 1 / d (B, K, C2, H, W)."""
        told: Tensor = self.net(stays, cond)
        k = self.components
        told = told.reshape(len(told), 3 * k + 2, -1, *told.shape[2:])
        a, b = 2 * torch.tanh(told[:, 0] / 2), told[:, 1]
        weight = told[:, 2 : 2 + k].softmax(1)
        middle = told[:, 2 + k : 2 + 2 * k] + self.centres.view(1, -1, 1, 1, 1)
        narrow = (2.5 * torch.tanh(told[:, 2 + 2 * k :] / 2.5)).exp()
        return a, b, weight, middle, narrow

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> the same, and (B,)."""
        stays, moves = self.parts(x)
        a, b, *mix = self.mixture(stays, cond)
        below, above, slope = areas(moves, *mix)
        low, high = below.log(), above.log()
        logdet = (slope.log() - low - high + a).flatten(1).sum(1)
        return self.whole(stays, torch.addcmul(b, low - high, a.exp())), logdet

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> the same."""
        stays, moves = self.parts(y)
        a, b, *mix = self.mixture(stays, cond)
        return self.whole(stays, solved((moves - b) * (-a).exp(), *mix))


def areas(x: Tensor, weight: Tensor, middle: Tensor, narrow: Tensor) -> tuple[Tensor, ...]:
    """c, 1 - c and dc/dx of the mixture at x (B, C, H, W), each with all its digits."""
    z = ((x[:, None] - middle) * narrow).clamp(-FARTHEST, FARTHEST)
    under, over = z.sigmoid(), (-z).sigmoid()
    low, high = weight * under, weight * over
    return low.sum(1), high.sum(1), (low * over * narrow).sum(1)


def solved(logit: Tensor, weight: Tensor, middle: Tensor, narrow: Tensor) -> Tensor:
    """X (B, C, H, W) with log c(x) - log(1 - c(x)) = logit: Newton within a bracket that halves."""
    ends = middle + logit[:, None] / narrow
    low, high = ends.amin(1), ends.amax(1)
    x = (low + high) / 2
    for _ in range(ITERATIONS.get(x.dtype, 32)):
        below, above, slope = areas(x, weight, middle, narrow)
        off = below.log() - above.log() - logit
        high, low = torch.where(off > 0, x, high), torch.where(off > 0, low, x)
        step = x - off * below * above / slope
        x = torch.where((step > low) & (step < high), step, (low + high) / 2)
    return x
