"""A tokenizer's encoder and decoder that do all their work at a quarter of the resolution.

    encoder   pixels -> unshuffle by `patch` -> conv -> [blocks, stride-2 conv] a level -> blocks, attention -> norm, conv
    decoder   the mirror image, ending in shuffle by 2, one block at half the resolution, conv, shuffle by patch / 2

A convolution costs the square of its resolution, so unshuffling 128 x 128 x 3 to 32 x 32 x 48 first (Shi et al., 2016,
arXiv:1609.05158, run backwards) makes a net of the VQGAN kind (Esser et al., 2020, arXiv:2012.09841) that two CPU cores
can train in an hour or two. Downsampling is `patch` x 2^(levels - 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 16


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(GROUPS, channels // 2), channels, eps=1e-6)


class Block(nn.Module):
    """Two 3x3 convolutions with a skip, (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2, self.conv2 = norm(channels), nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    """Self-attention of all positions, heads of 32 channels, (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // 32
        self.norm, self.qkv = norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, 3, self.heads, c // self.heads, -1).transpose(-1, -2).unbind(1)
        y = F.scaled_dot_product_attention(q, k, v)                           # (B, heads, h w, C / heads)
        return x + self.out(y.transpose(-1, -2).reshape(b, c, height, width))


class Encoder(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] to features (B, dim, H / f, W / f), f = patch * 2^(len(widths) - 1)."""

    def __init__(self, channels: int, patch: int, widths: Sequence[int], blocks: Sequence[int], dim: int) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(patch)
        self.conv_in = nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)
        body: list[nn.Module] = []
        for level, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
            if level:
                body.append(nn.Conv2d(widths[level - 1], width, 3, stride=2, padding=1))
            body.extend(Block(width) for _ in range(depth))
        self.body = nn.Sequential(*body, Attention(widths[-1]))
        self.norm_out = norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], dim, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv_out(F.silu(self.norm_out(self.body(self.conv_in(self.unshuffle(images))))))


class Upsample(nn.Module):
    """Nearest x2 and a 3x3 convolution, (B, C, h, w) -> (B, D, 2h, 2w)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Decoder(nn.Module):
    """Code vectors (B, dim, h, w) to pictures (B, 3, f h, f w), not clamped.

    Args:
        widths: as the encoder's, finest first; `fine` channels work at half the resolution of the picture.
    """

    def __init__(self, channels: int, patch: int, widths: Sequence[int], blocks: Sequence[int], fine: int, dim: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(dim, widths[-1], 3, padding=1)
        body: list[nn.Module] = [Attention(widths[-1])]
        for level in reversed(range(len(widths))):
            body.extend(Block(widths[level]) for _ in range(blocks[level]))
            if level:
                body.append(Upsample(widths[level], widths[level - 1]))
        self.body = nn.Sequential(*body)
        self.norm_mid = norm(widths[0])
        half = patch // 2
        self.to_fine = nn.Sequential(nn.Conv2d(widths[0], fine * half**2, 3, padding=1), nn.PixelShuffle(half))
        self.fine = Block(fine)
        self.norm_out = norm(fine)
        self.to_pixels = nn.Sequential(nn.Conv2d(fine, channels * 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, codes: Tensor) -> Tensor:
        x = self.to_fine(F.silu(self.norm_mid(self.body(self.conv_in(codes)))))
        return self.to_pixels(F.silu(self.norm_out(self.fine(x))))


