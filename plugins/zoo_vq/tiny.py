"""TAESD: a few convolutions and ReLUs that stand in for Stable Diffusion's autoencoder, for pictures on the way.

    encoder   (x + 1) / 2 -> conv -> blocks [-> conv, half the sides -> blocks] a level -> conv
    decoder   3 tanh(z / 3) -> conv -> ReLU -> blocks [-> nearest x2 -> conv -> blocks] a level -> conv -> 2 y - 1

There are no norms, and the latents are those that the diffusion model sees: scale 1. Layers are numbered as in
`madebyollin/taesd` (MIT) and in diffusers, those without weights included. Levels are counted in the order of work.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.nn.residual import ACTIVATIONS

_RANGE = 3.0  # of a latent that the decoder can tell apart from larger ones


class Block(nn.Module):
    """(B, C, h, w) -> (B, C, h, w): relu(conv(x) + x); `pool` adds to x, first, what is normalised over the map."""

    def __init__(self, width: int, activation: str, pool: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Conv2d(width, width, 3, padding=1), _Act(activation)]
        self.conv = nn.Sequential(*layers[:-1])
        self.pool: nn.Module | None = None
        if pool:
            wide = 4 * width
            self.pool = nn.Sequential(
                nn.Conv2d(width, wide, 1, bias=False),
                nn.GroupNorm(4, wide),
                nn.ReLU(),
                nn.Conv2d(wide, width, 1, bias=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class _Act(nn.Module):
    """An activation by name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = ACTIVATIONS[name]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.function(x)
        return out


class Encoder(nn.Module):
    """Pictures (B, channels, H, W) in [-1, 1] to latents (B, latent, H / f, W / f), f = 2 ** (len(blocks) - 1).

    Args:
        channels: of a picture.
        latent: of a latent.
        width: channels throughout.
        blocks: of each level, finest first.
        activation: of `zoo.nn.residual.ACTIVATIONS`.
        pool: whether the coarsest level's blocks see a norm over the map.
    """

    def __init__(
        self,
        channels: int,
        latent: int,
        width: int,
        blocks: Sequence[int],
        activation: str = "relu",
        pool: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1)]
        for level, depth in enumerate(blocks):
            if level:
                layers.append(nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False))
            last = level == len(blocks) - 1
            layers += [Block(width, activation, pool and last) for _ in range(depth)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, latent, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.layers((images + 1) / 2)
        return out


class Decoder(nn.Module):
    """Latents (B, latent, h, w) to pictures (B, channels, f h, f w), about [-1, 1].

    The arguments are the encoder's; `blocks` of each level, coarsest first.
    """

    def __init__(
        self,
        channels: int,
        latent: int,
        width: int,
        blocks: Sequence[int],
        activation: str = "relu",
        pool: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(latent, width, 3, padding=1), _Act(activation)]
        for level, depth in enumerate(blocks):
            layers += [Block(width, activation, pool and not level) for _ in range(depth)]
            if level < len(blocks) - 1:
                layers.append(nn.Upsample(scale_factor=2))
                layers.append(nn.Conv2d(width, width, 3, padding=1, bias=False))
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, latents: Tensor) -> Tensor:
        out: Tensor = self.layers(_RANGE * (latents / _RANGE).tanh())
        return 2 * out - 1
