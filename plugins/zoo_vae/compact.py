"""An encoder and a decoder that do most of their work at a quarter of the resolution.

    encoder   pixels -> unshuffle by 2 -> conv -> blocks -> stride-2 conv -> blocks -> 1x1 to `narrow` -> dense
    decoder   dense -> conv -> blocks -> 1x1 and shuffle by 2 -> blocks -> conv -> shuffle by 2

Blocks are x + conv(silu(conv(silu(x)))) that start as the identity (He et al., 2016, arXiv:1603.05027; zero start:
Zhang et al., 2019, arXiv:1901.09321), so no normalisation is needed and a picture depends on itself alone. Shuffling
pixels into channels (Shi et al., 2016, arXiv:1609.05158) instead of convolving at full resolution is what makes
hundreds of posterior samples a picture affordable on a CPU. Widths and blocks are counted from the finest level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def silu(h: Tensor) -> Tensor:
    """SiLU of a map that nobody else holds: in its place where no gradient needs it."""
    return F.silu(h, inplace=not h.requires_grad)


def planar(h: Tensor) -> Tensor:
    """Channels last on a CPU in float32, where convolutions are 1.4 times as fast that way."""
    fast = h.device.type == "cpu" and h.dtype == torch.float32
    return h.contiguous(memory_format=torch.channels_last) if fast else h


class Block(nn.Module):
    """Two 3x3 convolutions with a skip; starts as the identity. (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in self.conv2.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv2(silu(self.conv1(F.silu(x))))
        return out


def sides(height: int, width: int, levels: int) -> tuple[int, int]:
    """Sides of the coarsest grid. Raises ValueError for a picture that does not divide."""
    factor = 2**levels
    if height % factor or width % factor:
        raise ValueError(
            f"a picture of {height} x {width} with {levels} widths: both sides must be multiples of {factor}"
        )
    return height // factor, width // factor


class Trunk(nn.Module):
    """Pictures (B, C, H, W) in [-1, 1] to features (B, widths[-1], H / f, W / f), f = 2 ** len(widths).

    `shift` (B, widths[0]), if given, is added after the first convolution (a class).
    """

    def __init__(self, channels: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        body: list[nn.Module] = []
        for level, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
            if level:
                body += [nn.SiLU(), nn.Conv2d(widths[level - 1], width, 3, stride=2, padding=1)]
            body += [Block(width) for _ in range(depth)]
        self.body = nn.Sequential(*body)

    def forward(self, images: Tensor, shift: Tensor | None = None) -> Tensor:
        h = self.conv_in(planar(F.pixel_unshuffle(images, 2)))
        if shift is not None:
            h = h + shift[:, :, None, None]
        return silu(self.body(h))


class Painter(nn.Module):
    """Features (B, widths[-1], H / f, W / f) to the numbers of p(x | z), (B, outputs, H, W)."""

    def __init__(self, outputs: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        body: list[nn.Module] = []
        for level in reversed(range(len(widths))):
            body += [Block(widths[level]) for _ in range(blocks[level])]
            if level:
                body += [nn.SiLU(), nn.Conv2d(widths[level], 4 * widths[level - 1], 1)]
                body += [nn.PixelShuffle(2)]
        self.body = nn.Sequential(*body)
        self.conv_out = nn.Conv2d(widths[0], 4 * outputs, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv_out(silu(self.body(features))), 2)


def dense(inputs: int, outputs: int, hidden: int) -> nn.Module:
    """A linear layer, or with `hidden` numbers between two."""
    if not hidden:
        return nn.Linear(inputs, outputs)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


class Encoder(nn.Module):
    """Pictures (B, C, H, W) to the posterior's numbers (B, 2 latents): means, then raw scales.

    Args:
        image: (C, H, W) of a picture.
        latents: how many numbers describe it.
        widths: channels of each level, finest first; the finest is at half the resolution.
        blocks: residual blocks of each level.
        narrow: channels left before the dense layers, which would else hold most of the weights.
        hidden: numbers between two dense layers; 0: one layer.
        classes: of the embedding added after the first convolution, one more row for "any"; 0: none.
    """

    def __init__(
        self,
        image: Sequence[int],
        latents: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        narrow: int = 16,
        hidden: int = 0,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.grid = sides(image[1], image[2], len(widths))
        self.width = widths[-1]
        self.trunk = Trunk(image[0], widths, blocks)
        self.narrow = nn.Conv2d(widths[-1], narrow, 1)
        self.out = dense(narrow * self.grid[0] * self.grid[1], 2 * latents, hidden)
        self.label = nn.Embedding(classes + 1, widths[0]) if classes else None

    def features(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """(B, C, H, W) -> (B, widths[-1], H / f, W / f)."""
        shift = None if self.label is None or labels is None else self.label(labels)
        out: Tensor = self.trunk(images, shift)
        return out

    def numbers(self, features: Tensor) -> Tensor:
        """Features to (B, 2 latents)."""
        out: Tensor = self.out(silu(self.narrow(features)).flatten(1))
        return out

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.numbers(self.features(images, labels))


class Decoder(nn.Module):
    """Latents (B, latents) to the numbers of p(x | z), (B, outputs, H, W); arguments as the encoder's."""

    def __init__(
        self,
        image: Sequence[int],
        latents: int,
        outputs: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        narrow: int = 16,
        hidden: int = 0,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.grid = sides(image[1], image[2], len(widths))
        self.narrow, self.width = narrow, widths[-1]
        size = narrow * self.grid[0] * self.grid[1]
        self.dense = dense(latents, size, hidden)
        self.label = nn.Embedding(classes + 1, size) if classes else None
        self.conv_in = nn.Conv2d(narrow, widths[-1], 3, padding=1)
        self.painter = Painter(outputs, widths, blocks)

    def start(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """(B, latents) -> (B, widths[-1], H / f, W / f)."""
        h = self.dense(latents)
        if self.label is not None and labels is not None:
            h = h + self.label(labels)
        out: Tensor = self.conv_in(planar(silu(h).view(-1, self.narrow, *self.grid)))
        return out

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        out: Tensor = self.painter(self.start(latents, labels))
        return out
