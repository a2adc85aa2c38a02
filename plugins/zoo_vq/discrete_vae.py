"""DALLE-pytorch's DiscreteVAE: strided convolutions and residual blocks without normalisation.

The encoder gives logits of tokens, trained with Gumbel-softmax (Ramesh et al. 2021,
arXiv:2102.12092, in the open reimplementation's form). Pictures are normalised by mean and
deviation of each channel, of values in [0, 1], and the decoder works in that range. Parameter names
are those of its two nn.Sequential.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """x + conv1x1(relu(conv3x3(relu(conv3x3 x)))), (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x) + x
        return out


class _Normalised(nn.Sequential):
    """Layers on x = (p - mean) / deviation, p in [0, 1], with pictures in [-1, 1] outside."""

    def __init__(
        self, layers: Sequence[nn.Module], means: Sequence[float], deviations: Sequence[float]
    ) -> None:
        super().__init__(*layers)
        # x = scale * image + shift, channel by channel; plain numbers, so that the net can be built
        # on meta
        self.scale = [0.5 / each for each in deviations]
        self.shift = [(0.5 - mean) / each for mean, each in zip(means, deviations, strict=True)]

    def _affine(self, like: Tensor) -> tuple[Tensor, Tensor]:
        pair = torch.tensor([self.scale, self.shift], dtype=like.dtype, device=like.device)
        return pair[0][:, None, None], pair[1][:, None, None]

    def run(self, x: Tensor) -> Tensor:
        """The layers one after the other, (B, inputs, ...) -> (B, outputs, ...)."""
        for layer in self:
            x = layer(x)
        return x

    def normalise(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> the net's range."""
        scale, shift = self._affine(images)
        return images * scale + shift

    def restore(self, x: Tensor) -> Tensor:
        """The net's range -> [-1, 1], not clamped."""
        scale, shift = self._affine(x)
        return (x - shift) / scale


class Encoder(_Normalised):
    """Images (B, channels, H, W) in [-1, 1] -> logits (B, latent, H / 2^layers, W / 2^layers)."""

    def __init__(
        self,
        channels: int,
        latent: int,
        hidden: int,
        layers: int,
        blocks: int,
        means: Sequence[float],
        deviations: Sequence[float],
    ) -> None:
        made: list[nn.Module] = []
        for i in range(layers):
            conv = nn.Conv2d(channels if i == 0 else hidden, hidden, 4, stride=2, padding=1)
            made.append(nn.Sequential(conv, nn.ReLU()))
        made += [Block(hidden) for _ in range(blocks)]
        super().__init__([*made, nn.Conv2d(hidden, latent, 1)], means, deviations)

    def forward(self, images: Tensor) -> Tensor:
        return self.run(self.normalise(images))


class Decoder(_Normalised):
    """Codes (B, latent, h, w) -> images (B, channels, h 2^layers, w 2^layers), about [-1, 1]."""

    def __init__(
        self,
        channels: int,
        latent: int,
        hidden: int,
        layers: int,
        blocks: int,
        means: Sequence[float],
        deviations: Sequence[float],
    ) -> None:
        made: list[nn.Module] = []
        if blocks:
            made += [nn.Conv2d(latent, hidden, 1), *(Block(hidden) for _ in range(blocks))]
        for i in range(layers):
            width = hidden if i or blocks else latent
            conv = nn.ConvTranspose2d(width, hidden, 4, stride=2, padding=1)
            made.append(nn.Sequential(conv, nn.ReLU()))
        super().__init__([*made, nn.Conv2d(hidden, channels, 1)], means, deviations)

    def raw(self, codes: Tensor) -> Tensor:
        """Codes -> pictures in the net's own range."""
        return self.run(codes)

    def forward(self, codes: Tensor) -> Tensor:
        return self.restore(self.raw(codes))
