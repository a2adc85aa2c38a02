"""Gated PixelCNN: a stack that sees the rows above, one that sees the row so far, no blind spot.

Layer by layer, with * a convolution that is causal (`zoo_pixel.shifted`) and y a label,

    v <- tanh(p_a) sigmoid(p_b),           [p_a, p_b] = K_v * v + b_y                whole rows, above alone
    h <- h + W_o tanh(q_a) sigmoid(q_b),   [q_a, q_b] = K_h * h + W_c [p_a, p_b]     the pixels to the left as well

(van den Oord et al., 2016, arXiv:1606.05328). A pixel's channels follow one another: the logits of channel c see the
features h of the pixel and the values of the channels before,

    p(x_c = k | x_<c, pixels before) = softmax_k(W_c silu(A_c h + sum_{d<c} E_cd[x_d])).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_pixel import raster
from zoo_pixel.shifted import Pointwise, ShiftedConv


def gate(both: Tensor) -> Tensor:
    """tanh(a) sigmoid(b) of [a, b] (B, 2 C, ...)."""
    a, b = both.chunk(2, 1)
    return a.tanh() * b.sigmoid()


class Layer(nn.Module):
    """Both stacks once; the `first` one leaves out the pixel itself, and has nothing to add to."""

    def __init__(self, inputs: int, width: int, kernel: int, first: bool) -> None:
        super().__init__()
        half = kernel // 2 + 1
        down, right = ("down", "right") if first else ("", "")
        self.vertical = ShiftedConv(inputs, 2 * width, (half, kernel), "down", shift=down)  # type: ignore[arg-type]
        self.horizontal = ShiftedConv(inputs, 2 * width, (1, half), "right", shift=right)  # type: ignore[arg-type]
        self.cross = Pointwise(2 * width, 2 * width)
        self.out = Pointwise(width, width)
        self.first = first

    def forward(self, v: Tensor, h: Tensor, bias: Tensor | float) -> tuple[Tensor, Tensor]:
        above = self.vertical(v) + bias
        new: Tensor = self.out(gate(self.horizontal(h) + self.cross(above)))
        return gate(above), new if self.first else h + new


class Channels(nn.Module):
    """Logits of each channel of a pixel: features (..., width) and earlier channels to (..., K)."""

    def __init__(self, width: int, channels: int, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(channels))
        self.said = nn.ModuleList(
            nn.Embedding(c * levels, width) if c else nn.Identity() for c in range(channels)
        )
        self.outer = nn.ModuleList(nn.Linear(width, levels) for _ in range(channels))

    def forward(self, features: Tensor, channel: int, before: Tensor) -> Tensor:
        """`before` (..., at least `channel`) are the pixel's symbols; later ones are not read."""
        h = self.inner[channel](features)
        if channel:
            shift = self.levels * torch.arange(channel, device=before.device)
            h = h + self.said[channel](before[..., :channel] + shift).sum(-2)
        out: Tensor = self.outer[channel](F.silu(h))
        return out


class GatedPixelCNN(nn.Module):
    """A `zoo_pixel.net.Core` of `depth` layers; `levels` is 256 or 2 (black and white), `kernel` odd."""

    def __init__(
        self,
        size: int,
        channels: int,
        levels: int,
        width: int,
        depth: int,
        kernel: int = 5,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if levels not in (2, 256) or kernel % 2 == 0:
            raise ValueError(f"levels {levels} must be 2 or 256, kernel {kernel} odd")
        self.size, self.channels, self.levels, self.classes = size, channels, levels, classes
        self.alphabet, self.length, self.rows = levels, channels * size * size, 1
        self.layers = nn.ModuleList(
            Layer(width if n else channels, width, kernel, first=n == 0) for n in range(depth)
        )
        self.label = nn.Embedding(classes, depth * 2 * width) if classes else None
        self.head = Channels(width, channels, levels)

    def to_symbols(self, levels: Tensor) -> Tensor:
        """Grey levels (B, C, H, W) to (B, T)."""
        return raster.to_symbols(levels)

    def to_levels(self, symbols: Tensor) -> Tensor:
        """(B, T) to grey levels (B, C, H, W)."""
        return raster.to_levels(symbols, self.channels, self.size)

    def biases(self, labels: Tensor | None) -> list[Any]:
        """What a label adds to each layer, (B, 2 width, 1, 1)."""
        if self.label is None:
            return [0.0] * len(self.layers)
        return [each[..., None, None] for each in self.label(labels).chunk(len(self.layers), 1)]

    def features(self, values: Tensor, labels: Tensor | None) -> Tensor:
        """Pixels (B, C, H, W) in [-1, 1] to what is known of each before it comes, (B, width, H, W)."""
        v = h = values
        for layer, bias in zip(self.layers, self.biases(labels), strict=True):
            v, h = layer(v, h, bias)
        return h

    def log_tables(self, symbols: Tensor, labels: Tensor | None) -> Tensor:
        """Log p(s_t | s_<t, y) (B, T, K)."""
        like = self.layers[0].out.lin_a.bias  # type: ignore[union-attr]
        values = raster.as_values(self.to_levels(symbols), self.levels, like)  # type: ignore[arg-type]
        features = self.features(values, labels).movedim(1, -1).flatten(1, 2)  # (B, H W, width)
        pixels = symbols.view(len(symbols), -1, self.channels)
        logits = [self.head(features, c, pixels) for c in range(self.channels)]
        return torch.stack(logits, 2).flatten(1, 2).log_softmax(-1)

    def log_prob(self, symbols: Tensor, labels: Tensor | None) -> Tensor:
        """Log p(x | y) (B,)."""
        tables = self.log_tables(symbols, labels)
        return tables.gather(-1, symbols[..., None]).squeeze(-1).sum(-1)

    def walk(self, count: int, labels: Tensor | None) -> GatedSteps:
        """The same, step by step."""
        return GatedSteps(self, count, labels)


class GatedSteps:
    """The vertical stack a row at a time, as it sees rows above alone; the horizontal one a pixel at a time."""

    def __init__(self, net: GatedPixelCNN, count: int, labels: Tensor | None) -> None:
        layers: Any = list(net.layers)
        self.net, self.t, self.layers = net, 0, layers
        self.biases = net.biases(labels)
        self.above = [layer.vertical.seen(count, net.size) for layer in layers]
        self.beside = [layer.horizontal.seen(count, net.size) for layer in layers]
        self.cross = [layer.cross.lin_a.weight() for layer in layers]
        self.outs = [(layer.out.lin_a.weight(), layer.out.lin_a.bias) for layer in layers]
        self.symbols = torch.zeros(
            count, net.length, dtype=torch.int64, device=self.cross[0].device
        )
        self.rows: list[Tensor] = []  # W_c p of this row, (W, B, 2 width) a layer
        self.features: Tensor | None = None

    def log_probabilities(self) -> Tensor:
        """(B, K) of the next symbol."""
        place, channel = divmod(self.t, self.net.channels)
        features = self._pixel(*divmod(place, self.net.size))
        said = self.symbols[:, self.t - channel : self.t]
        logits: Tensor = self.net.head(features, channel, said)
        return logits.log_softmax(-1)

    def push(self, symbols: Tensor) -> None:
        """Go on by one symbol (B,)."""
        net = self.net
        place, channel = divmod(self.t, net.channels)
        i, j = divmod(place, net.size)
        self._pixel(i, j)  # the layers must have seen every place
        self.symbols[:, self.t] = symbols
        self.t += 1
        if channel + 1 == net.channels:
            levels = self.symbols[:, self.t - net.channels : self.t]
            pixel = raster.as_values(levels, net.levels, self.cross[0])[..., None, None]
            self.above[0].put(pixel, i, j)
            self.beside[0].put(pixel, i, j)
            self.features = None

    def _pixel(self, i: int, j: int) -> Tensor:
        """Features (B, width) of the pixel at (i, j), made once."""
        if self.features is not None:
            return self.features
        if j == 0:
            self._row(i)
        both = self.beside[0].at(i, j - 1) if j else 0  # shifted: nothing comes in at the left edge
        h = F.linear(gate(both + self.rows[0][j]), *self.outs[0])
        for seen, row, out in zip(self.beside[1:], self.rows[1:], self.outs[1:], strict=True):
            seen.room[:, :, i, j + seen.layer.left] = h
            h = h + F.linear(gate(seen.at(i, j) + row[j]), *out)
        self.features = h
        return h

    def _row(self, i: int) -> None:
        """The vertical stack at row i."""
        size, rows = self.net.size, []
        v = self.above[0].room
        for number, seen in enumerate(self.above):
            if number:
                above = seen.step(v, i, 0)
            elif i:
                above = seen.get(i - 1, 0, size)
            else:  # shifted: nothing comes in at the top
                above = v.new_zeros(len(v), seen.weight.shape[0], 1, size)
            above = above + self.biases[number]
            bias = self.layers[number].cross.lin_a.bias
            rows.append(F.linear(above[:, :, 0].permute(2, 0, 1), self.cross[number], bias))
            v = gate(above)
        self.rows = rows
