"""The convolutional encoder and decoder of VQGAN, latent diffusion, LlamaGen and MoVQ.

Levels of `blocks` residual blocks, each level at half the resolution of the one before, attention
where asked, a residual-attention-residual middle at the lowest resolution (Esser et al.,
arXiv:2012.09841). Level 0 is the finest in the encoder and in the decoder alike, so `down.i` and
`up.i` work at one resolution; parameter names are taming-transformers'. Memory is channels-last
throughout, which on a CPU is 1.2 to 1.4 times as fast.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from zoo.nn.attention import attention as attention_block
from zoo.nn.norm import norm, normalise_silu
from zoo.nn.residual import Downsample, ResnetBlock, Upsample

_LARGE = 96 * 96


def laid_out(x: Tensor, level: int) -> Tensor:
    """A map (B, C, H, W) of a picture 2 ** level times as wide, in the memory layout that is fast.

    On a CPU that is channels-last, for training and for large pictures. Small ones cost little either way, and
    torch's convolutions round half as much on the usual layout; where there are fewer positions than channels, weights
    are larger than maps and the usual layout spares turning them. Elsewhere the caller's choice stands.
    """
    if x.device.type != "cpu":
        return x
    area, last = x.shape[2:].numel(), torch.channels_last
    if torch.is_grad_enabled() or (area * 4**level >= _LARGE and area >= x.shape[1]):
        return x.contiguous(memory_format=last)
    return x.contiguous()


class Level(nn.Module):
    """Residual blocks at one resolution, 1 / 2 ** index of a picture's, attention after each or not."""

    downsample: nn.Module
    upsample: nn.Module

    def __init__(
        self, index: int, blocks: Sequence[nn.Module], attentions: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.index = index
        self.block = nn.ModuleList(blocks)
        self.attn = nn.ModuleList(attentions)

    def forward(self, h: Tensor, z: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W); z conditions the norms."""
        h = laid_out(h, self.index)
        for number, block in enumerate(self.block):
            h = block(h, z)
            if len(self.attn):
                h = self.attn[number](h, z)
        return h


class Middle(nn.Module):
    """Residual block, attention (unless None), residual block."""

    def __init__(self, first: nn.Module, attn: nn.Module | None, second: nn.Module) -> None:
        super().__init__()
        self.block_1 = first
        self.attn_1 = attn
        self.block_2 = second

    def forward(self, h: Tensor, z: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W); z conditions the norms."""
        h = self.block_1(h, z)
        if self.attn_1 is not None:
            h = self.attn_1(h, z)
        out: Tensor = self.block_2(h, z)
        return out


class Encoder(nn.Module):
    """Images (B, channels, H, W) to features (B, latent, H / f, W / f), f = 2 ** (len(widths) - 1).

    `widths` are the channels of each level, finest first; `stem` those of the first convolution
    (default widths[0]). `attention` lists the levels with attention after each block. H and W must
    be multiples of f.
    """

    def __init__(
        self,
        channels: int,
        latent: int,
        widths: Sequence[int],
        blocks: int,
        *,
        stem: int | None = None,
        attention: Collection[int] = (),
        middle_attention: bool = True,
        attention_kind: str = "softmax",
        groups: int = 32,
        dropout: float = 0.0,
        resample_conv: bool = True,
        activation: str = "silu",
    ) -> None:
        super().__init__()

        def resnet(inputs: int, outputs: int) -> ResnetBlock:
            return ResnetBlock(
                inputs, outputs, groups=groups, dropout=dropout, activation=activation
            )

        width = stem or widths[0]
        self.conv_in = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList()
        for index, outputs in enumerate(widths):
            inside = [resnet(width if i == 0 else outputs, outputs) for i in range(blocks)]
            seen = [
                attention_block(attention_kind, outputs, groups)
                for _ in range(blocks if index in attention else 0)
            ]
            level = Level(index, inside, seen)
            if index != len(widths) - 1:
                level.downsample = Downsample(outputs, resample_conv)
            self.down.append(level)
            width = outputs
        attn = attention_block(attention_kind, width, groups) if middle_attention else None
        self.mid = Middle(resnet(width, width), attn, resnet(width, width))
        self.norm_out = norm(width, groups, None)
        self.conv_out = nn.Conv2d(width, latent, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Encode; see the class."""
        h = self.conv_in(laid_out(images, 0))
        for index, each in enumerate(self.down):
            level = cast(Level, each)
            h = level(h)
            if index != len(self.down) - 1:
                h = level.downsample(h)
        h = self.mid(h)
        out: Tensor = self.conv_out(normalise_silu(self.norm_out, h, None, own=True))
        return out


class Decoder(nn.Module):
    """Features (B, latent, h, w) to images (B, channels, h f, w f), f = 2 ** (len(widths) - 1).

    `blocks` is the number of residual blocks a level (taming and diffusers put one more here than
    in the encoder). With `spatial`, every norm is MoVQ's and `forward` takes the quantised codes
    (B, spatial, h, w) as `z`.
    """

    def __init__(
        self,
        channels: int,
        latent: int,
        widths: Sequence[int],
        blocks: int,
        *,
        attention: Collection[int] = (),
        middle_attention: bool = True,
        attention_kind: str = "softmax",
        groups: int = 32,
        dropout: float = 0.0,
        resample_conv: bool = True,
        spatial: int | None = None,
        activation: str = "silu",
        tanh: bool = False,
    ) -> None:
        super().__init__()

        def resnet(inputs: int, outputs: int) -> ResnetBlock:
            return ResnetBlock(
                inputs,
                outputs,
                groups=groups,
                dropout=dropout,
                spatial=spatial,
                activation=activation,
            )

        self.spatial = spatial is not None
        self.tanh = tanh
        width = widths[-1]
        self.conv_in = nn.Conv2d(latent, width, 3, padding=1)
        attn = attention_block(attention_kind, width, groups, spatial) if middle_attention else None
        self.mid = Middle(resnet(width, width), attn, resnet(width, width))
        levels: list[nn.Module] = []
        for index in reversed(range(len(widths))):
            outputs = widths[index]
            inside = [resnet(width if i == 0 else outputs, outputs) for i in range(blocks)]
            seen = [
                attention_block(attention_kind, outputs, groups, spatial)
                for _ in range(blocks if index in attention else 0)
            ]
            level = Level(index, inside, seen)
            if index != 0:
                level.upsample = Upsample(outputs, resample_conv)
            levels.insert(0, level)
            width = outputs
        self.up = nn.ModuleList(levels)
        self.norm_out = norm(width, groups, spatial)
        self.conv_out = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, h: Tensor, z: Tensor | None = None) -> Tensor:
        """Decode; see the class. Raises ValueError where codes are needed and not given."""
        if not self.spatial:
            z = None
        elif z is None:
            raise ValueError(
                "this decoder's norms are conditioned on the quantised codes: pass them as z"
            )
        deepest = len(self.up) - 1
        h = self.conv_in(laid_out(h, deepest))
        h = self.mid(laid_out(h, deepest), z)
        for index in reversed(range(len(self.up))):
            level = cast(Level, self.up[index])
            h = level(h, z)
            if index:
                h = level.upsample(h)
        out: Tensor = self.conv_out(normalise_silu(self.norm_out, h, z, own=True))
        return out.tanh() if self.tanh else out
