"""PixelCNN++: two streams at three resolutions, a mixture of logistics at each pixel.

The stream u sees the rows above a pixel, the stream ul these and the pixels to the left. Both go down to a quarter of
the resolution and up again with skips between equal places, every block a gated residual one,

    x <- x + a * sigmoid(b),     [a, b] = conv(drop(elu2(conv(elu2(x)) + W elu2(skip)))),     elu2(x) = elu([x, -x])

(Salimans, Karpathy, Chen & Kingma, 2017, arXiv:1701.05517). Names of parameters are those of the PyTorch port that
published weights (pixel-cnn-pp). With colours red, green, blue c = 0, 1, 2 the means are m_0, m_1 + w_10 x_0 and
m_2 + w_20 x_0 + w_21 x_1, w = tanh of what the net gives (`zoo_pixel.logistic`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_pixel import logistic, raster
from zoo_pixel.logistic import Mixture
from zoo_pixel.shifted import Pointwise, ShiftedConv, ShiftedDeconv

KERNELS = {"down": (2, 3), "right": (2, 2)}


def elu2(x: Tensor) -> Tensor:
    """(B, C, h, w) to (B, 2 C, h, w)."""
    return F.elu(torch.cat([x, -x], 1))


class Gated(nn.Module):
    """A gated residual block; `skips` times the width come in from elsewhere."""

    def __init__(self, width: int, sees: str, skips: int, dropout: float) -> None:
        super().__init__()
        kernel = KERNELS[sees]
        self.conv_input = ShiftedConv(2 * width, width, kernel, sees)  # type: ignore[arg-type]
        if skips:
            self.nin_skip = Pointwise(2 * skips * width, width)
        self.dropout = nn.Dropout2d(dropout)
        self.conv_out = ShiftedConv(2 * width, 2 * width, kernel, sees)  # type: ignore[arg-type]

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        h = self.conv_input(elu2(x))
        if skip is not None:
            h = h + self.nin_skip(elu2(skip))
        a, b = self.conv_out(self.dropout(elu2(h))).chunk(2, 1)
        out: Tensor = x + a * b.sigmoid()
        return out


class Streams(nn.Module):
    """Some blocks of both streams at one resolution, on the way down or up."""

    def __init__(self, blocks: int, width: int, skips: tuple[int, int], dropout: float) -> None:
        super().__init__()
        down, right = skips
        self.u_stream = nn.ModuleList(Gated(width, "down", down, dropout) for _ in range(blocks))
        self.ul_stream = nn.ModuleList(Gated(width, "right", right, dropout) for _ in range(blocks))


class Logits(nn.Module):
    """The two-stream net: (B, C, H, W) in [-1, 1] to the mixture's numbers (B, P, H, W); H, W multiples of 4.

    P is 10 M for three colours (M weights, then for each colour M means, M log-scales, M coefficients), 3 M for one.
    """

    def __init__(
        self, channels: int, width: int, blocks: int, mixtures: int, dropout: float
    ) -> None:
        super().__init__()
        self.up_layers = nn.ModuleList(Streams(blocks, width, (0, 1), dropout) for _ in range(3))
        self.down_layers = nn.ModuleList(
            Streams(blocks + (level > 0), width, (1, 2), dropout) for level in range(3)
        )
        down, right = KERNELS["down"], KERNELS["right"]
        self.downsize_u_stream = nn.ModuleList(
            ShiftedConv(width, width, down, "down", stride=2) for _ in range(2)
        )
        self.downsize_ul_stream = nn.ModuleList(
            ShiftedConv(width, width, right, "right", stride=2) for _ in range(2)
        )
        self.upsize_u_stream = nn.ModuleList(ShiftedDeconv(width, width, down) for _ in range(2))
        self.upsize_ul_stream = nn.ModuleList(ShiftedDeconv(width, width, right) for _ in range(2))
        self.u_init = ShiftedConv(channels + 1, width, down, "down", shift="down")
        self.ul_init = nn.ModuleList(
            [
                ShiftedConv(channels + 1, width, (1, 3), "down", shift="down"),
                ShiftedConv(channels + 1, width, (2, 1), "right", shift="right"),
            ]
        )
        self.nin_out = Pointwise(width, (10 if channels == 3 else 3) * mixtures)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """`label` (B, width, 1, 1) is added to both streams where they begin."""
        x = F.pad(x, (0, 0, 0, 0, 0, 1), value=1.0)  # ones tell the border from a grey pixel
        shift = 0 if label is None else label
        us, uls = [self.u_init(x) + shift], [self.ul_init[0](x) + self.ul_init[1](x) + shift]
        for level, layer in enumerate(self.up_layers):
            for first, second in zip(layer.u_stream, layer.ul_stream, strict=True):  # type: ignore[arg-type]
                us.append(first(us[-1]))
                uls.append(second(uls[-1], us[-1]))
            if level < 2:
                us.append(self.downsize_u_stream[level](us[-1]))
                uls.append(self.downsize_ul_stream[level](uls[-1]))
        u, ul = us.pop(), uls.pop()
        for level, layer in enumerate(self.down_layers):
            for first, second in zip(layer.u_stream, layer.ul_stream, strict=True):  # type: ignore[arg-type]
                u = first(u, us.pop())
                ul = second(ul, torch.cat([u, uls.pop()], 1))
            if level < 2:
                u, ul = self.upsize_u_stream[level](u), self.upsize_ul_stream[level](ul)
        out: Tensor = self.nin_out(F.elu(ul))
        return out


def mixture(numbers: Tensor, channels: int) -> Mixture:
    """The mixture of (B, P, h, w), with axes (B, h, w, ...): what the reference's loss makes of its net's output."""
    count = numbers.shape[1] // (10 if channels == 3 else 3)
    numbers = numbers.permute(0, 2, 3, 1)
    weights = numbers[..., :count].log_softmax(-1)
    each = numbers[..., count:].reshape(
        *numbers.shape[:-1], channels, -1, count
    )  # (B, h, w, C, 2 or 3, M)
    means, scales = each[..., 0, :], each[..., 1, :].clamp(min=-7)
    linear = each[..., 2, :].tanh() if channels == 3 else means[..., :0, :]
    return Mixture(weights, means, scales, linear)


class PlusPlus(nn.Module):
    """A `zoo_pixel.net.Core`: symbols are red, green, blue of the pixels in raster order, or their grey."""

    def __init__(
        self,
        size: int,
        channels: int = 3,
        width: int = 160,
        blocks: int = 5,
        mixtures: int = 10,
        dropout: float = 0.5,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if size % 4 or channels not in (1, 3):
            raise ValueError(f"size {size} must be a multiple of 4, channels {channels} 1 or 3")
        self.size, self.channels, self.levels, self.classes = size, channels, 256, classes
        self.alphabet, self.length, self.rows = 256, channels * size * size, 1
        self.logits = Logits(channels, width, blocks, mixtures, dropout)
        self.label = nn.Embedding(classes, width) if classes else None

    def to_symbols(self, levels: Tensor) -> Tensor:
        """Grey levels (B, C, H, W) to (B, T)."""
        return raster.to_symbols(levels)

    def to_levels(self, symbols: Tensor) -> Tensor:
        """(B, T) to grey levels (B, C, H, W)."""
        return raster.to_levels(symbols, self.channels, self.size)

    def shift(self, labels: Tensor | None) -> Tensor | None:
        """What a label adds (B, width, 1, 1)."""
        return None if self.label is None else self.label(labels)[..., None, None]

    def mixtures(self, symbols: Tensor, labels: Tensor | None) -> tuple[Mixture, Tensor]:
        """Every pixel's mixture and its values (B, H, W, C)."""
        values = raster.as_values(self.to_levels(symbols), 256, self.logits.nin_out.lin_a.bias)
        found = mixture(self.logits(values, self.shift(labels)), self.channels)
        return found, values.movedim(1, -1)

    def log_prob(self, symbols: Tensor, labels: Tensor | None) -> Tensor:
        """Log p(x | y) (B,)."""
        found, values = self.mixtures(symbols, labels)
        return logistic.log_prob(values, found).flatten(1).sum(1)

    def log_tables(self, symbols: Tensor, labels: Tensor | None) -> Tensor:
        """Log p(s_t | s_<t, y) (B, T, 256)."""
        return logistic.log_tables(*self.mixtures(symbols, labels)).flatten(1, -2)

    def walk(self, count: int, labels: Tensor | None) -> object:
        """The same, step by step."""
        from zoo_pixel.plusplus_steps import PlusPlusSteps

        return PlusPlusSteps(self, count, labels)
