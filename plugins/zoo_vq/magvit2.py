"""Open-MAGVIT2's encoder and decoder: convolutions, and codes that steer the normalisation.

    AdaptiveGroupNorm(x, z) = gamma(std_hw(z)) * GroupNorm(x) + beta(mean_hw(z))

with the unbiased variance over positions, gamma and beta linear (Luo et al. 2024, arXiv:2409.04410;
Yu et al. 2023, MAGVIT-v2, arXiv:2310.05737). Downsampling is a 3x3 convolution of stride 2 with
symmetric padding; upsampling a 3x3 convolution to four times the channels and depth to space, whose
channels count (row, column, channel). Parameter names are theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.norm import GroupNorm

EPS = 1e-6


class Block(nn.Module):
    """(B, inputs, H, W) -> (B, outputs, H, W): norm, SiLU, 3x3, twice, and a skip; no biases."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, inputs, eps=EPS)
        self.norm2 = GroupNorm(groups, outputs, eps=EPS)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.resized = inputs != outputs
        if self.resized:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        out: Tensor = h + (self.nin_shortcut(x) if self.resized else x)
        return out


class Level(nn.Module):
    """The blocks of one resolution and what leads to the next, if anything does."""

    def __init__(self, blocks: Sequence[nn.Module], **resample: nn.Module) -> None:
        super().__init__()
        self.block = nn.ModuleList(blocks)
        for name, module in resample.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        for module in self.children():
            for layer in module if isinstance(module, nn.ModuleList) else (module,):
                x = layer(x)
        return x


class Encoder(nn.Module):
    """Images (B, channels, H, W) -> latents (B, latent, H / f, W / f), f = 2^(len(widths) - 1)."""

    def __init__(
        self,
        channels: int,
        latent: int,
        widths: Sequence[int],
        blocks: int,
        stem: int | None = None,
        groups: int = 32,
    ) -> None:
        super().__init__()
        width = stem or widths[0]
        self.conv_in = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.down = nn.ModuleList()
        for level, after in enumerate(widths):
            made = [Block(width if i == 0 else after, after, groups) for i in range(blocks)]
            width = after if blocks else width
            down = nn.Conv2d(width, width, 3, stride=2, padding=1)
            self.down.append(
                Level(made, **({"downsample": down} if level < len(widths) - 1 else {}))
            )
        self.mid_block = nn.ModuleList(Block(width, width, groups) for _ in range(blocks))
        self.norm_out = GroupNorm(groups, width, eps=EPS)
        self.conv_out = nn.Conv2d(width, latent, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv_in(images)
        for level in self.down:
            x = level(x)
        for block in self.mid_block:
            x = block(x)
        out: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return out


class AdaptiveGroupNorm(nn.Module):
    """x (B, channels, H, W) normalised, then steered by statistics of codes z (B, latent, h, w)."""

    def __init__(self, latent: int, channels: int, groups: int) -> None:
        super().__init__()
        self.gn = nn.GroupNorm(groups, channels, eps=EPS, affine=False)
        self.gamma = nn.Linear(latent, channels)
        self.beta = nn.Linear(latent, channels)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        flat = z.flatten(2)  # (B, latent, h w)
        scale = self.gamma((flat.var(dim=-1) + EPS).sqrt())[:, :, None, None]  # (B, channels, 1, 1)
        shift = self.beta(flat.mean(dim=-1))[:, :, None, None]
        return torch.addcmul(shift, self.gn(x), scale)


class Upsample(nn.Module):
    """(B, C, H, W) -> (B, C, 2H, 2W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 4 * channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return depth_to_space(self.conv1(x))


def depth_to_space(x: Tensor) -> Tensor:
    """(B, 4C, H, W) -> (B, C, 2H, 2W); input channels count (row, column, channel), ONNX's DCR."""
    b, c, h, w = x.shape
    x = x.view(b, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2)  # (B, C, H, 2, W, 2)
    return x.reshape(b, c // 4, 2 * h, 2 * w)


class Decoder(nn.Module):
    """Codes (B, latent, h, w) -> images (B, channels, h f, w f); needs h w > 1 for the variance."""

    def __init__(
        self, channels: int, latent: int, widths: Sequence[int], blocks: int, groups: int = 32
    ) -> None:
        super().__init__()
        width = widths[-1]
        self.conv_in = nn.Conv2d(latent, width, 3, padding=1)
        self.mid_block = nn.ModuleList(Block(width, width, groups) for _ in range(blocks))
        levels: list[nn.Module] = []
        adaptive: list[nn.Module] = []
        for level in reversed(range(len(widths))):
            after = widths[level]
            adaptive.insert(0, AdaptiveGroupNorm(latent, width, groups))
            made = [Block(width if i == 0 else after, after, groups) for i in range(blocks)]
            width = after if blocks else width
            levels.insert(0, Level(made, **({"upsample": Upsample(width)} if level else {})))
        self.up, self.adaptive = nn.ModuleList(levels), nn.ModuleList(adaptive)
        self.norm_out = GroupNorm(groups, width, eps=EPS)
        self.conv_out = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.conv_in(codes)
        for block in self.mid_block:
            x = block(x)
        for level, norm in zip(reversed(self.up), reversed(self.adaptive), strict=True):
            x = level(norm(x, codes))
        out: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return out
