"""PixelCNN++ a pixel at a time: every layer keeps its inputs and answers for a row or a pixel alone.

The stream u at row i depends on rows above alone, so its row is made once when the row begins; ul is made for each
pixel. At level l (resolution 1 / 2^l) a row or pixel is due where its numbers divide by 2^l: the two-fold
downsampling with its last inputs there, the upsampling giving the 2 x 2 places that follow. The numbers are those of
the pass over the whole picture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo_pixel import logistic, raster
from zoo_pixel.plusplus import Gated, PlusPlus, elu2, mixture
from zoo_pixel.shifted import Pointwise, Seen


class Fixed:
    """A Pointwise layer with its weight made once."""

    def __init__(self, layer: Pointwise) -> None:
        self.weight, self.bias = layer.lin_a.weight(), layer.lin_a.bias

    def __call__(self, piece: Tensor) -> Tensor:
        """(B, I, 1, n) to (B, O, 1, n)."""
        return F.linear(piece.movedim(1, -1), self.weight, self.bias).movedim(-1, 1)


class GatedSteps:
    """A gated block by pieces."""

    def __init__(self, block: Gated, count: int, size: int) -> None:
        self.first = block.conv_input.seen(count, size)
        self.last = block.conv_out.seen(count, size)
        self.skip = Fixed(block.nin_skip) if hasattr(block, "nin_skip") else None

    def __call__(self, x: Tensor, skip: Tensor | None, i: int, j: int) -> Tensor:
        h = self.first.step(elu2(x), i, j)
        if self.skip is not None and skip is not None:
            h = h + self.skip(elu2(skip))
        a, b = self.last.step(elu2(h), i, j).chunk(2, 1)
        return x + a * b.sigmoid()


class Stream:
    """One of the two streams, at all three resolutions."""

    def __init__(self, net: PlusPlus, name: str, count: int) -> None:
        logits: Any = net.logits
        self.sizes = [net.size >> level for level in range(3)]
        self.up = [
            [GatedSteps(block, count, size) for block in getattr(layer, f"{name}_stream")]
            for layer, size in zip(logits.up_layers, self.sizes, strict=True)
        ]
        self.down = [  # by level, as `up`; the reference counts from the coarsest
            [GatedSteps(block, count, size) for block in getattr(layer, f"{name}_stream")]
            for layer, size in zip(reversed(logits.down_layers), self.sizes, strict=True)
        ]
        self.halve: list[Seen] = [
            layer.seen(count, size)
            for layer, size in zip(
                getattr(logits, f"downsize_{name}_stream"), self.sizes, strict=False
            )
        ]
        doubles = reversed(getattr(logits, f"upsize_{name}_stream"))
        self.double = [(layer, layer.deconv.weight()) for layer in doubles]  # from level 1, 2
        like = logits.nin_out.lin_a.bias
        width = logits.nin_out.lin_a.weight_v.shape[1]
        self.wide = [like.new_zeros(count, width, size, size) for size in self.sizes[:2]]
        self.ups: dict[int, list[Tensor]] = {}  # what each block last gave, by level
        self.downs: dict[int, list[Tensor]] = {}

    def step(self, x: Tensor, i: int, j: int, rows: Stream | None) -> Tensor:
        """From the first features of a piece that begins at (i, j) to its last ones.

        `rows` is the stream u, whose rows of this i are there, where this one is ul.
        """
        skips, level = [x], 0
        while True:
            y, z = i >> level, j >> level
            self.ups[level] = []
            for number, block in enumerate(self.up[level]):
                skip = None if rows is None else rows.ups[level][number][..., z : z + 1]
                x = block(x, skip, y, z)
                self.ups[level].append(x)
                skips.append(x)
            if level == 2:
                break
            self.halve[level].put(x, y, z)
            if y % 2 or z % 2:
                break
            x = self.halve[level].get(y, z, max(1, x.shape[-1] // 2))
            skips.append(x)
            level += 1
        count = x.shape[-1]
        if level == 2:
            x = skips.pop()
        else:
            x = self.wide[level][:, :, y : y + 1, z : z + count]
        while True:
            y, z = i >> level, j >> level
            self.downs[level] = []
            for number, block in enumerate(self.down[level]):
                skip = skips.pop()
                if rows is not None:
                    skip = torch.cat([rows.downs[level][number][..., z : z + 1], skip], 1)
                x = block(x, skip, y, z)
                self.downs[level].append(x)
            if level == 0:
                return x
            layer, weight = self.double[level - 1]
            places = layer.spread(x, weight)  # (B, C, 2, 2 n)
            level -= 1
            y, z, count = 2 * y, 2 * z, 2 * count if rows is None else 1
            self.wide[level][:, :, y : y + 2, z : z + places.shape[-1]] = places
            x = places[:, :, :1, :count]


class PlusPlusSteps:
    """A `zoo_pixel.net.Steps`."""

    def __init__(self, net: PlusPlus, count: int, labels: Tensor | None) -> None:
        logits: Any = net.logits
        self.net, self.t = net, 0
        shift = net.shift(labels)
        self.shift: Tensor | float = 0.0 if shift is None else shift
        self.u, self.ul = Stream(net, "u", count), Stream(net, "ul", count)
        self.starts: list[Seen] = [
            layer.seen(count, net.size) for layer in (logits.u_init, *logits.ul_init)
        ]
        self.out = Fixed(logits.nin_out)
        self.values = self.out.bias.new_zeros(count, net.size, net.size, net.channels)
        self.pixel: logistic.Mixture | None = None  # of the pixel whose symbols come now

    def log_probabilities(self) -> Tensor:
        """(B, 256) of the next symbol."""
        place, channel = divmod(self.t, self.net.channels)
        i, j = divmod(place, self.net.size)
        return logistic.log_table(self._pixel(i, j), channel, self.values[:, i, j])

    def push(self, symbols: Tensor) -> None:
        """Go on by one symbol (B,)."""
        place, channel = divmod(self.t, self.net.channels)
        i, j = divmod(place, self.net.size)
        self._pixel(i, j)  # the layers must have seen every place
        self.values[:, i, j, channel] = raster.as_values(symbols, 256, self.values)
        self.t += 1
        if channel + 1 == self.net.channels:
            pixel = F.pad(self.values[:, i, j], (0, 1), value=1.0)[..., None, None]
            for start in self.starts:
                start.put(pixel, i, j)
            self.pixel = None

    def _pixel(self, i: int, j: int) -> logistic.Mixture:
        """The mixture of the pixel at (i, j), made once."""
        if self.pixel is None:
            if j == 0:
                self.u.step(self._start(0, i, 0, self.net.size) + self.shift, i, 0, None)
            first = self._start(1, i, j, 1) + self._start(2, i, j, 1) + self.shift
            numbers = self.out(F.elu(self.ul.step(first, i, j, self.u)))
            found = mixture(numbers, self.net.channels)
            self.pixel = logistic.Mixture(*(each[:, 0, 0] for each in found))
        return self.pixel

    def _start(self, index: int, i: int, j: int, count: int) -> Tensor:
        """An initial convolution at (i, j), its shift included: 0 where that brings nothing in."""
        start = self.starts[index]
        down, right = (0, 1) if start.layer.shift == "right" else (1, 0)
        if i < down or j < right:
            return torch.zeros_like(start.get(i, j, count))
        return start.get(i - down, j - right, count)
