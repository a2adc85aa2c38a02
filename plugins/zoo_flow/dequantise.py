"""Noise that makes a density of 8-bit levels: P(v) = integral_[0,1)^D p(v + u) du.

For any distribution q of the noise (Theis et al., 2016, arXiv:1511.01844; Ho et al., 2019,
arXiv:1902.00275)

    log P(v) >= E_q [ log p(v + u) - log q(u | v) ],

uniform q being the usual choice. Averaged over K draws inside the logarithm the bound rises
towards log P(v) (Burda et al., 2016, arXiv:1509.00519).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_flow.conditioners import Convolutions


class Uniform(nn.Module):
    """u is uniform, log q = 0."""

    noise = "uniform"

    def forward(self, v: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Levels (B, C, H, W) and uniform numbers alike -> u in [0, 1), log q (B,)."""
        return noise, noise.new_zeros(len(noise))


class Variational(nn.Module):
    """u = sigmoid(m(v) + exp(s(v)) e), e standard normal, m and s a small net of the picture."""

    noise = "normal"

    def __init__(self, channels: int, width: int = 16, blocks: int = 1) -> None:
        super().__init__()
        self.net = Convolutions(4 * channels, 8 * channels, width, blocks)

    def forward(self, v: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Levels (B, C, H, W) and normal numbers alike -> u in (0, 1), log q (B,)."""
        told = self.net(F.pixel_unshuffle(v.to(noise.dtype) / 127.5 - 1, 2))
        shift, raw = F.pixel_shuffle(told, 2).chunk(2, dim=1)
        s = math.log(1.7) + 2 * torch.tanh(raw / 2)  # the start is close to uniform
        y = torch.addcmul(shift, noise, s.exp())
        slope = F.logsigmoid(y) + F.logsigmoid(-y)  # log du/dy
        log_q = -noise.square() / 2 - math.log(2 * math.pi) / 2 - s - slope
        eps = torch.finfo(y.dtype).eps
        return y.sigmoid().clamp(1e-30, 1 - eps / 2), log_q.flatten(1).sum(1)
