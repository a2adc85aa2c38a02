"""Generators: a code (B, N) to a picture (B, C, H, W) in (-1, 1).

DCGAN (Radford et al., 2015, arXiv:1511.06434): transposed convolutions of stride 2 with BatchNorm between. Residual
(SNGAN, Miyato et al., 2018, arXiv:1802.05957): blocks that double the resolution beside a shortcut, with the norms'
scales and shifts linear in the code, as in a class-conditional BatchNorm (Dumoulin et al., 2016, arXiv:1610.07629)
whose condition is the noise as well (BigGAN, Brock et al., 2018, arXiv:1809.11096):

    N(h) = (1 + A code) * (h - mean) / deviation + B code
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORMS: Mapping[str, Callable[..., nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "instance": nn.InstanceNorm2d,
}


class Modulated(nn.Module):
    """A norm of h (B, C, H, W), scaled and shifted channel by channel as code (B, N) says."""

    def __init__(self, channels: int, code: int, norm: str) -> None:
        super().__init__()
        self.norm = NORMS[norm](channels, affine=False)
        self.affine = nn.Linear(code, 2 * channels)

    def forward(self, h: Tensor, code: Tensor) -> Tensor:
        scale, shift = self.affine(code)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(shift, self.norm(h), 1 + scale)


class Up(nn.Module):
    """A residual block (B, C, H, W) -> (B, C', 2H, 2W); its first convolution works at the lower resolution."""

    def __init__(self, inputs: int, outputs: int, code: int, norm: str) -> None:
        super().__init__()
        self.before = Modulated(inputs, code, norm)
        self.narrow = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.between = Modulated(outputs, code, norm)
        self.refine = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        h = self.narrow(F.relu(self.before(x, code)))
        h = F.interpolate(F.relu(self.between(h, code)), scale_factor=2.0)
        out: Tensor = self.refine(h) + F.interpolate(self.skip(x), scale_factor=2.0)
        return out


class Residual(nn.Module):
    """Code (B, N) -> picture (B, C, S, S), S = start * 2^(len(widths) - 1)."""

    def __init__(
        self, code: int, channels: int, widths: tuple[int, ...], start: int, norm: str
    ) -> None:
        super().__init__()
        self.shape = (widths[0], start, start)
        self.first = nn.Linear(code, widths[0] * start**2)
        self.blocks = nn.ModuleList(Up(a, b, code, norm) for a, b in pairwise(widths))
        self.norm = Modulated(widths[-1], code, norm)
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1)
        start_weights(self)

    def forward(self, code: Tensor) -> Tensor:
        h = self.first(code).unflatten(1, self.shape)
        h = h.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            h = block(h, code)
        return torch.tanh(self.last(F.relu(self.norm(h, code))))


class Dcgan(nn.Module):
    """Code (B, N) -> picture (B, C, S, S), S = start * 2^(len(widths) - 1); its norm is BatchNorm's own."""

    def __init__(
        self, code: int, channels: int, widths: tuple[int, ...], start: int, norm: str
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(code, widths[0], start, bias=False),
            NORMS[norm](widths[0], affine=True),
            nn.ReLU(),
        ]
        sides = [*widths[1:], channels]
        for index, (inputs, outputs) in enumerate(zip(widths, sides, strict=True)):
            if index < len(widths) - 1:
                layers += [
                    nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
                    NORMS[norm](outputs, affine=True),
                    nn.ReLU(),
                ]
            else:
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.Tanh()]
        self.main = nn.Sequential(*layers)
        for module in self.modules():  # the paper's start
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)

    def forward(self, code: Tensor) -> Tensor:
        out: Tensor = self.main(code[:, :, None, None])
        return out


def start_weights(net: nn.Module) -> None:
    """Glorot's start for convolutions and dense layers, small for what modulates, 0 for biases."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in net.modules():
        if isinstance(module, Modulated):
            nn.init.normal_(module.affine.weight, 0.0, 0.05)


GENERATORS: Mapping[str, Callable[..., nn.Module]] = {"residual": Residual, "dcgan": Dcgan}
