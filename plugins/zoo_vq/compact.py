"""An encoder and a decoder that do their work at a quarter of the resolution.

    encoder   pixels -> unshuffle by `patch` -> conv -> blocks [-> stride-2 conv -> blocks] a level -> attention
    decoder   the mirror image -> shuffle by `patch` / 2 -> one block at half the resolution -> conv -> shuffle by 2

A convolution costs the square of its resolution, so unshuffling 128 x 128 x 3 to 32 x 32 x 48 first (Shi et al., 2016,
arXiv:1609.05158, run backwards) makes a net of the VQGAN kind (Esser et al., 2020, arXiv:2012.09841) that two CPU cores
train in an hour or two. Both downsample by `patch` * 2 ** (len(widths) - 1). Levels are counted from the finest.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.norm import GroupNorm

HEAD = 32  # channels of an attention head


def _norm(channels: int) -> GroupNorm:
    return GroupNorm(min(16, channels // 2), channels, eps=1e-6)


class Block(nn.Module):
    """Two 3x3 convolutions with a skip; starts as the identity. (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2, self.conv2 = _norm(channels), nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        out: Tensor = x + self.conv2(F.silu(self.norm2(h)))
        return out


class Attention(nn.Module):
    """Self-attention of all positions with a skip; starts as the identity. (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD)
        if channels % self.heads:
            raise ValueError(
                f"attention over {channels} channels: heads of {HEAD} need a multiple of {HEAD}"
            )
        self.norm, self.qkv = _norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        mixed = self.qkv(self.norm(x)).view(b, 3, self.heads, c // self.heads, height * width)
        q, k, v = mixed.transpose(-1, -2).unbind(1)  # (B, heads, h w, C / heads) each
        y = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = x + self.out(y.transpose(-1, -2).reshape(b, c, height, width))
        return out


class Encoder(nn.Module):
    """Pictures (B, channels, H, W) in [-1, 1] to features (B, widths[-1], H / f, W / f).

    Args:
        channels: of a picture.
        patch: side of the square of pixels that one position of the finest level holds.
        widths: channels of each level, finest first.
        blocks: residual blocks of each level.
    """

    def __init__(
        self, channels: int, patch: int, widths: Sequence[int], blocks: Sequence[int]
    ) -> None:
        super().__init__()
        self.patch = patch
        self.conv_in = nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)
        body: list[nn.Module] = []
        for level, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
            if level:
                body.append(nn.Conv2d(widths[level - 1], width, 3, stride=2, padding=1))
            body.extend(Block(width) for _ in range(depth))
        self.body = nn.Sequential(*body, Attention(widths[-1]))
        self.norm_out = _norm(widths[-1])

    def forward(self, images: Tensor) -> Tensor:
        return F.silu(self.norm_out(self.body(self.conv_in(F.pixel_unshuffle(images, self.patch)))))


class Upsample(nn.Module):
    """Nearest x2 and a 3x3 convolution, (B, C, h, w) -> (B, D, 2h, 2w)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class Decoder(nn.Module):
    """Code vectors (B, latent, h, w) to pictures (B, channels, f h, f w), not clamped.

    Args:
        channels: of a picture.
        latent: channels of a code vector.
        patch, widths, blocks: as the encoder's; `patch` must be even.
        fine: channels at half the resolution of the picture.
    """

    def __init__(
        self,
        channels: int,
        latent: int,
        patch: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        fine: int,
    ) -> None:
        super().__init__()
        if patch % 2:
            raise ValueError(f"patch = {patch}: the decoder shuffles by 2 last, so it must be even")
        self.spread = patch // 2
        self.conv_in = nn.Conv2d(latent, widths[-1], 3, padding=1)
        body: list[nn.Module] = [Attention(widths[-1])]
        for level in reversed(range(len(widths))):
            body.extend(Block(widths[level]) for _ in range(blocks[level]))
            if level:
                body.append(Upsample(widths[level], widths[level - 1]))
        self.body = nn.Sequential(*body)
        self.norm_mid = _norm(widths[0])
        self.conv_fine = nn.Conv2d(widths[0], fine * self.spread**2, 3, padding=1)
        self.fine = Block(fine)
        self.norm_out = _norm(fine)
        self.conv_out = nn.Conv2d(fine, channels * 4, 3, padding=1)

    def forward(self, codes: Tensor) -> Tensor:
        h = self.conv_fine(F.silu(self.norm_mid(self.body(self.conv_in(codes)))))
        h = self.fine(F.pixel_shuffle(h, self.spread))  # (B, fine, H / 2, W / 2)
        return F.pixel_shuffle(self.conv_out(F.silu(self.norm_out(h))), 2)
