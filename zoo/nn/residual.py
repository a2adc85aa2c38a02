"""Residual blocks and resampling of the convolutional autoencoders of the VQGAN kind.

A block is x + conv(act(norm(conv(act(norm(x)))))) with group normalisation and SiLU (Ho et al.,
DDPM, arXiv:2006.11239, appendix B; Esser et al., arXiv:2012.09841). Parameter names are
taming-transformers'.

Nearest-neighbour doubling followed by a 3x3 convolution is one 4x4 transposed convolution of stride
2: output row 2i+p sees input rows i-1..i+1 through three taps of which two always fall on the same
row, so the three taps (w0, w1, w2) become (w2, w1+w2, w0+w1, w0). Same numbers up to rounding, 4/9
of the multiplications.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.norm import norm, normalise, normalise_silu

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "swish": F.silu,
    "relu": F.relu,
    "gelu": F.gelu,
    "mish": F.mish,
}
_TAPS = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], device="cpu")  # (4, 3)
_FOLD = torch.kron(_TAPS, _TAPS)  # (16, 9)
# Below this many input pixels, of a picture or a training batch, folding weights does not pay.
_FOLD_PIXELS = 1024
_SPLIT_PIXELS = 64 * 64  # smaller maps are cheaper to pad than to take apart


class ResnetBlock(nn.Module):
    """(B, inputs, H, W) -> (B, outputs, H, W); a 1x1 `nin_shortcut` where the widths differ."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        groups: int = 32,
        dropout: float = 0.0,
        spatial: int | None = None,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}; there are {sorted(ACTIVATIONS)}")
        self.activation = activation
        self.norm1 = norm(inputs, groups, spatial)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = norm(outputs, groups, spatial)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)
        self.resized = inputs != outputs

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """The block; z conditions the norms of MoVQ's."""
        h = self.conv1(self._activated(self.norm1, x, z, own=False))
        h = self.conv2(self.dropout(self._activated(self.norm2, h, z, own=True)))
        out: Tensor = h.add_(self.nin_shortcut(x) if self.resized else x)
        return out

    def _activated(self, layer: nn.Module, x: Tensor, z: Tensor | None, own: bool) -> Tensor:
        if self.activation in ("silu", "swish"):
            return normalise_silu(layer, x, z, own)
        return ACTIVATIONS[self.activation](normalise(layer, x, z, own))


class Downsample(nn.Module):
    """Halve the sides: (B, C, H, W) -> (B, C, H // 2, W // 2).

    With `conv`: one zero row below and one column right, then 3x3 of stride 2; without: the mean of
    2x2 pixels.
    """

    def __init__(self, channels: int, conv: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2) if conv else None

    def forward(self, x: Tensor) -> Tensor:
        """Halve; see the class."""
        if self.conv is None:
            return F.avg_pool2d(x, 2)
        even = x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0
        if torch.is_grad_enabled() or not even or x.shape[2:].numel() < _SPLIT_PIXELS:
            out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
            return out
        # Without a padded copy of all of x: the inside, then the row and the column at the zeros.
        inside = self.conv(x)
        shape = (*inside.shape[:2], x.shape[2] // 2, x.shape[3] // 2)
        out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        out[:, :, :-1, :-1] = inside
        out[:, :, -1:] = self.conv(F.pad(x[:, :, -2:], (0, 1, 0, 1)))
        out[:, :, :, -1:] = self.conv(F.pad(x[:, :, :, -2:], (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Double the sides: (B, C, H, W) -> (B, C, 2H, 2W), nearest, then 3x3 with `conv`."""

    def __init__(self, channels: int, conv: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1) if conv else None

    def forward(self, x: Tensor) -> Tensor:
        """Double; see the class."""
        if self.conv is None:
            return F.interpolate(x, scale_factor=2.0, mode="nearest")
        if folds(x, self.conv.weight):
            return F.conv_transpose2d(
                x, folded(self.conv.weight), self.conv.bias, stride=2, padding=1
            )
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


def folds(x: Tensor, weight: Tensor) -> bool:
    """Whether the transposed form pays: on a CPU (1.5 to 2.1 times as fast), in full precision."""
    full = x.dtype is weight.dtype and weight.dtype in (torch.float32, torch.float64)
    pixels = x.shape[2:].numel() * (len(x) if torch.is_grad_enabled() else 1)
    return (
        full
        and x.device.type == "cpu"
        and pixels >= _FOLD_PIXELS
        and not torch.is_autocast_enabled("cpu")
    )


def folded(weight: Tensor) -> Tensor:
    """A 3x3 kernel (O, I, 3, 3) as the transposed convolution's (I, O, 4, 4); differentiable."""
    outputs, inputs = weight.shape[:2]
    taps = weight.reshape(-1, 9) @ _FOLD.to(weight).t()  # (O I, 16)
    return taps.view(outputs, inputs, 4, 4).transpose(0, 1)
