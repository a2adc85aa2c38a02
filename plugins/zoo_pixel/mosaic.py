"""The mosaic: pictures a tile of f x f pixels at a time, most of the work at 1 / f of the resolution.

Tiles come in raster order. A trunk of causal layers (`zoo_pixel.causal`) sees the tiles before number p and gives a
context c_p; what a tile costs then depends on the pixels:

    binary   p(tile_p | tiles before) = softmax(W c_p)                    one symbol of 2^(f f C), all pixels jointly
    8-bit    p(tile_p | tiles before) = prod_k p(x_pk | x_p<k, c_p)       its pixels in raster order, each a mixture of
                                                                          logistics (`zoo_pixel.neighbourhood`)

The chain rule holds for any order, so the probability is exact; against pixel by pixel the trunk works on 1 / f^2 of
the positions and is sampled in 1 / f^2 of the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.transformer import CausalAttention, Trunk
from zoo_pixel import logistic, raster
from zoo_pixel.causal import CausalConv
from zoo_pixel.neighbourhood import Mixtures


class Mosaic(nn.Module):
    """A `zoo_pixel.net.Core`.

    Args:
        size: H and W, a multiple of `tile`.
        channels: C.
        levels: 256 (8-bit pixels) or 2 (black and white).
        width: Of the trunk.
        layers: The trunk, a letter a block: d convolves, c convolves each channel apart, a attends.
        tile: f.
        expand: The inner width of a block's second half, in widths.
        heads: Of attention.
        hidden: Width of the net that gives a pixel's mixture (8-bit).
        mixtures: Components of it.
        copies: Further components that copy one of so many neighbours (W, N, NW, NE, WW, NN, ...), at most 10.
        classes: Labels it knows; 0: none.
    """

    head: Any  # Mixtures or a linear layer, which nn.Module's attributes do not tell

    def __init__(
        self,
        size: int,
        channels: int,
        levels: int,
        width: int,
        layers: str,
        tile: int = 2,
        expand: int = 2,
        heads: int = 2,
        hidden: int = 64,
        mixtures: int = 6,
        copies: int = 0,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if size % tile or levels not in (2, 256):
            raise ValueError(
                f"size {size} must be a multiple of tile {tile}, levels {levels} 2 or 256"
            )
        self.size, self.channels, self.levels, self.classes = size, channels, levels, classes
        self.tile, self.rows, self.side = tile, tile, size // tile
        self.numbers = tile * tile * channels  # in a tile
        self.length = self.side**2 * (self.numbers if levels == 256 else 1)
        self.alphabet = 256 if levels == 256 else 2**self.numbers
        self.embed = CausalConv(
            self.numbers if levels == 256 else self.alphabet, width, 2, strict=True
        )
        self.place = nn.Parameter(torch.randn(self.side, self.side, width) * 0.02)
        self.label = nn.Embedding(classes, width) if classes else None
        mixes: Mapping[str, Callable[[], nn.Module]] = {
            "d": lambda: CausalConv(width, width, 1),
            "c": lambda: CausalConv(width, width, 2, groups=width),
            "a": lambda: CausalAttention(width, heads),
        }
        self.trunk = Trunk([mixes[letter]() for letter in layers], width, expand)
        if levels == 256:
            self.head = Mixtures(size, tile, channels, width, hidden, mixtures, copies)
        else:
            self.head = nn.Linear(width, self.alphabet)
            nn.init.normal_(self.head.weight, std=0.1 * width**-0.5)

    def to_symbols(self, levels: Tensor) -> Tensor:
        """Grey levels (B, C, H, W) to (B, T)."""
        f, side = self.tile, self.side
        cut = levels.reshape(len(levels), self.channels, side, f, side, f)
        tiles = cut.permute(0, 2, 4, 3, 5, 1).reshape(len(levels), side * side, self.numbers)
        return tiles.flatten(1) if self.levels == 256 else (tiles * self._powers(tiles)).sum(-1)

    def to_levels(self, symbols: Tensor) -> Tensor:
        """(B, T) to grey levels (B, C, H, W)."""
        f, side = self.tile, self.side
        tiles = symbols
        if self.levels == 2:
            tiles = symbols[..., None] // self._powers(symbols) % 2
        cut = tiles.reshape(len(symbols), side, side, f, f, self.channels)
        return cut.permute(0, 5, 1, 3, 2, 4).reshape(-1, self.channels, self.size, self.size)

    def _powers(self, like: Tensor) -> Tensor:
        return 2 ** torch.arange(self.numbers, device=like.device)

    def features(self, symbols: Tensor) -> Tensor:
        """(..., numbers) or (...) of tiles to what the trunk reads, (..., I)."""
        if self.levels == 2:
            return F.one_hot(symbols, self.alphabet).to(self.place.dtype)
        return raster.as_values(symbols, 256, self.place)

    def contexts(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """All tiles' features (B, h, w, I) to what is known of each before it comes, (B, h, w, width)."""
        x = self.embed(features) + self.place
        if self.label is not None:
            x = x + self.label(labels)[:, None, None]
        out: Tensor = self.trunk(x)
        return out

    def _contexts(self, symbols: Tensor, labels: Tensor | None) -> Tensor:
        shape: tuple[int, ...] = (len(symbols), self.side, self.side)
        shape += (self.numbers,) if self.levels == 256 else ()
        return self.contexts(self.features(symbols.view(shape)), labels)

    def mixtures(self, symbols: Tensor, labels: Tensor | None) -> tuple[Tensor, logistic.Mixture]:
        """Every pixel's values (B, h w, f f, C) and its mixture, of 8-bit pictures."""
        head, contexts = self.head, self._contexts(symbols, labels)
        values = self.features(symbols).view(len(symbols), self.side**2, -1, self.channels)
        raster = self.to_levels(symbols).flatten(2).transpose(1, 2)
        raster = F.pad(self.features(raster), (0, 0, 0, 1))  # (B, H W + 1, C), the last of no pixel
        around = raster[:, head.neighbours]  # (B, h w, f f, N, C)
        return values, head(head.spread(contexts.flatten(1, 2)), around)

    def log_prob(self, symbols: Tensor, labels: Tensor | None) -> Tensor:
        """Log p(x | y) (B,)."""
        if self.levels == 256:
            return logistic.log_prob(*self.mixtures(symbols, labels)).flatten(1).sum(1)
        tables = self.head(self._contexts(symbols, labels)).flatten(1, 2)
        return -F.cross_entropy(tables.transpose(1, 2), symbols, reduction="none").sum(1)

    def log_tables(self, symbols: Tensor, labels: Tensor | None) -> Tensor:
        """Log p(s_t | s_<t, y) (B, T, K)."""
        if self.levels == 256:
            values, mixture = self.mixtures(symbols, labels)
            return logistic.log_tables(mixture, values).flatten(1, -2)
        tables: Tensor = self.head(self._contexts(symbols, labels)).flatten(1, 2)
        return tables.log_softmax(-1)

    def walk(self, count: int, labels: Tensor | None) -> MosaicSteps:
        """The same, step by step."""
        return MosaicSteps(self, count, labels)


class MosaicSteps:
    """Tiles one at a time; of each layer what later tiles need is kept."""

    def __init__(self, net: Mosaic, count: int, labels: Tensor | None) -> None:
        self.net, self.t = net, 0
        self.label = None if net.label is None else net.label(labels)  # (B, width)
        self.seen = net.embed.memory(count, (net.side, net.side))
        self.memories = net.trunk.memory(count, (net.side, net.side))
        numbers = net.numbers if net.levels == 256 else 1
        self.tile = torch.zeros(count, numbers, dtype=torch.int64, device=net.place.device)
        self.raster = net.place.new_zeros(count, net.size**2 + 1, net.channels)
        self.context: Tensor | None = None  # (B, width) of this tile
        self.spread = net.place  # contexts of its pixels (B, f f, hidden)
        self.pixel: Any = None  # the mixture of the pixel whose symbols come now

    def log_probabilities(self) -> Tensor:
        """(B, K) of the next symbol."""
        net = self.net
        self._look()
        if net.levels == 2:
            out: Tensor = net.head(self.context).log_softmax(-1)
            return out
        k, channel = divmod(self.t % self.tile.shape[1], net.channels)
        values = net.features(self.tile[:, k * net.channels : (k + 1) * net.channels])
        return logistic.log_table(self.pixel, channel, values)

    def push(self, symbols: Tensor) -> None:
        """Go on by one symbol (B,)."""
        net = self.net
        self._look()  # the layers must have seen every place
        p, number = divmod(self.t, self.tile.shape[1])
        self.tile[:, number] = symbols
        self.t += 1
        if net.levels == 256 and (number + 1) % net.channels == 0:
            k = number // net.channels
            i, j = divmod(p, net.side)
            at = (i * net.tile + k // net.tile) * net.size + j * net.tile + k % net.tile
            self.raster[:, at] = net.features(self.tile[:, k * net.channels : number + 1])
            self.pixel = None
        if number + 1 == self.tile.shape[1]:
            tile = self.tile if net.levels == 256 else self.tile[:, 0]
            net.embed.push(net.features(tile), self.seen)
            self.context = None

    def _look(self) -> None:
        """The tile's context and the pixel's mixture, each made once."""
        net = self.net
        p, number = divmod(self.t, self.tile.shape[1])
        if self.context is None:
            self.context = self._context(p)
            if net.levels == 256:
                self.spread = net.head.spread(self.context)
        if net.levels == 256 and self.pixel is None:
            k = number // net.channels
            around = self.raster[:, net.head.neighbours[p, k]]  # (B, N, C)
            self.pixel = net.head(self.spread[:, k], around)

    def _context(self, p: int) -> Tensor:
        """(B, width) of tile p."""
        net = self.net
        x = net.embed.ahead(self.seen) + net.place.flatten(0, 1)[p]
        x = x if self.label is None else x + self.label
        return net.trunk.step(x, self.memories)
