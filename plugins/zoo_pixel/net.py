"""What all nets of the family share: symbols, labels that are not given, and a part that is.

A core (`gated`, `plusplus`, `transformer`, `mosaic`) gives p(s_t | s_<t, y). Around it, exactly:

    without a label      p(x) = 1/Y sum_y p(x | y),   p(s_t | s_<t) = sum_y p(y | s_<t) p(s_t | s_<t, y)
    with a given part    p(x | s_1 ... s_n) = prod_{t > n} p(s_t | s_<t), 0 if x begins otherwise

Letters: B pictures, T symbols in coding order, K the alphabet, Y classes. `PixelModel` is what the hooks and the
lossless codec hold (`zoo.nn.coding.Autoregressive`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import ImageError
from zoo_pixel import raster


class Steps(Protocol):
    """A core's conditionals one at a time."""

    def log_probabilities(self) -> Tensor:
        """(B, K) of the next symbol."""
        ...

    def push(self, symbols: Tensor) -> None:
        """Go on by one symbol (B,) int64."""
        ...


class Core(Protocol):
    """What a kind of net gives; `labels` are (B,) int64, None where the net has no classes."""

    channels: int
    size: int
    levels: int  # 256, or 2 for black and white
    classes: int  # 0: none
    alphabet: int
    length: int
    rows: int  # a given part is a multiple of so many rows

    def to_symbols(self, levels: Tensor) -> Tensor:
        """Grey levels (B, C, H, W) int64 in [0, levels) to (B, T)."""
        ...

    def to_levels(self, symbols: Tensor) -> Tensor:
        """(B, T) to grey levels (B, C, H, W)."""
        ...

    def log_prob(self, symbols: Tensor, labels: Tensor | None) -> Tensor:
        """Log p(x | y) (B,); the same as what `log_tables` gives, without making the tables."""
        ...

    def log_tables(self, symbols: Tensor, labels: Tensor | None) -> Tensor:
        """Log p(s_t | s_<t, y) (B, T, K)."""
        ...

    def walk(self, count: int, labels: Tensor | None) -> Steps:
        """The same, step by step."""
        ...


@dataclass(frozen=True)
class Asked:
    """What a request says: one label a picture, the first symbols of each picture, or both."""

    labels: Tensor | None = None  # (B,) int64
    prefix: Tensor | None = None  # (B, n) int64


class PixelModel(nn.Module):
    """A core, and everything that does not depend on which core it is."""

    def __init__(self, core: nn.Module) -> None:
        super().__init__()
        self.core = core

    @property
    def inside(self) -> Core:
        """The core, by what it can do."""
        return cast(Core, self.core)

    @property
    def density(self) -> tuple[str, str]:
        """Kind of log_prob, and over what: for the card."""
        return "exact", "binary pixels" if self.inside.levels == 2 else "8-bit pixels"

    @property
    def alphabet(self) -> int:
        """K."""
        return self.inside.alphabet

    @property
    def length(self) -> int:
        """T."""
        return self.inside.length

    def reset_buffers(self) -> None:
        """Make what is in no state dict, after loading onto a net that was built on the meta device."""
        for module in self.core.modules():
            reset: Callable[[], None] | None = getattr(module, "reset_buffers", None)
            if reset is not None:
                reset()

    def symbols(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] to (B, T) int64; 8-bit pixels are rounded to the nearest level.

        Raises ImageError for another shape, and for grey where the net knows black and white alone.
        """
        core = self.inside
        shape = (core.channels, core.size, core.size)
        if tuple(images.shape[1:]) != shape:
            raise ImageError(f"this net takes pictures {shape}, got {tuple(images.shape[1:])}.")
        if core.levels == 2:
            levels = images > 0
            if not bool(((images == 1) | (images == -1)).all()):
                raise ImageError(
                    "this net is of black and white pictures, with the values -1 and 1 alone; these have "
                    "greys. Draw them black and white first: zoo.data.binarise(images, generator)."
                )
        else:
            levels = ((images + 1) * 127.5).round().clamp(0, 255)
        return core.to_symbols(levels.long())

    def pictures(self, symbols: Tensor) -> Tensor:
        """(B, T) int64 to (B, C, H, W) in [-1, 1], of the net's dtype."""
        core = self.inside
        return raster.as_values(core.to_levels(symbols), core.levels, next(self.parameters()))

    def log_prob(self, images: Tensor, cond: Asked | None) -> Tensor:
        """Log p(x | c) (B,) in nats; minus infinity for a picture that does not begin as asked."""
        symbols, cond = self.symbols(images), cond or Asked()
        if cond.prefix is not None:
            tables = self.log_tables(symbols, cond)
            return tables.gather(-1, symbols[..., None]).squeeze(-1).sum(-1)
        if not self.inside.classes or cond.labels is not None:
            return self.inside.log_prob(symbols, cond.labels)
        each = [self.inside.log_prob(symbols, y) for y in self.every_label(len(symbols))]
        return torch.stack(each).logsumexp(0) - log(self.inside.classes)

    def every_label(self, count: int) -> list[Tensor]:
        """For each class, its number `count` times."""
        device = next(self.parameters()).device
        return [torch.full((count,), y, device=device) for y in range(self.inside.classes)]

    def log_tables(self, symbols: Tensor, cond: Asked | None) -> Tensor:
        """Log p(s_t | s_<t, c) (B, T, K)."""
        cond = cond or Asked()
        if not self.inside.classes or cond.labels is not None:
            tables = self.inside.log_tables(symbols, cond.labels)
        else:
            every = [self.inside.log_tables(symbols, y) for y in self.every_label(len(symbols))]
            tables = torch.stack(every)  # (Y, B, T, K)
            said = tables.gather(-1, symbols.expand(len(every), -1, -1)[..., None]).squeeze(-1)
            before = F.pad(said[..., :-1], (1, 0)).cumsum(-1)  # log p(s_<t | y)
            tables = (tables + before.log_softmax(0)[..., None]).logsumexp(0)
        if cond.prefix is not None:
            given = cond.prefix.shape[1]
            tables = torch.cat([certain(cond.prefix, tables), tables[:, given:]], 1)
        return tables

    def tables(self, symbols: Tensor, cond: Asked | None) -> Tensor:
        """p(s_t | s_<t, c) (B, T, K); each row sums to 1."""
        return self.log_tables(symbols, cond).softmax(-1)

    def walk(self, count: int, cond: Asked | None) -> Walk:
        """The same conditionals one at a time."""
        return Walk(self, count, cond or Asked())


def certain(symbols: Tensor, like: Tensor) -> Tensor:
    """Log p (..., K) of distributions that give `symbols` (...) for sure."""
    out = torch.full(
        (*symbols.shape, like.shape[-1]), -torch.inf, dtype=like.dtype, device=like.device
    )
    return out.scatter(-1, symbols[..., None], 0.0)


class Walk:
    """A `zoo.nn.coding.Walk`: the core's steps, with the labels summed over and the given part certain."""

    def __init__(self, net: PixelModel, count: int, cond: Asked) -> None:
        core, self.prefix, self.place = net.inside, cond.prefix, 0
        self.weights: Tensor | None = None  # log p(y | s_<t) (B, Y)
        labels = cond.labels
        if core.classes and labels is None:
            like = next(net.parameters())
            self.weights = like.new_full((count, core.classes), -log(core.classes))
            labels = torch.arange(core.classes, device=like.device).repeat(count)
        self.steps = core.walk(count * (1 if self.weights is None else core.classes), labels)
        self.next: Tensor | None = None

    def log_probabilities(self) -> Tensor:
        """(B, K)."""
        each = self._each()
        out = each if self.weights is None else (each + self.weights[..., None]).logsumexp(1)
        if self.prefix is not None and self.place < self.prefix.shape[1]:
            return certain(self.prefix[:, self.place], out)
        return out

    def probabilities(self) -> Tensor:
        """(B, K); each row sums to 1."""
        return self.log_probabilities().softmax(-1)

    def push(self, symbols: Tensor) -> None:
        """Go on by one symbol (B,) int64."""
        if self.weights is not None:
            classes = self.weights.shape[1]
            said = (
                self._each().gather(-1, symbols[:, None, None].expand(-1, classes, 1)).squeeze(-1)
            )
            self.weights = (self.weights + said).log_softmax(-1)
            symbols = symbols.repeat_interleave(classes)
        self.steps.push(symbols)
        self.place, self.next = self.place + 1, None

    def _each(self) -> Tensor:
        """The core's answer, (B, K) or (B, Y, K), once a step."""
        if self.next is None:
            given = self.steps.log_probabilities()
            self.next = given if self.weights is None else given.view(*self.weights.shape, -1)
        return self.next


def pixel_model(config: Mapping[str, Any]) -> PixelModel:
    """The net of a configuration: its `kind`, and what that kind takes.

    Raises TypeError for an unknown or missing option, KeyError for an unknown kind.
    """
    from zoo_pixel.gated import GatedPixelCNN
    from zoo_pixel.mosaic import Mosaic
    from zoo_pixel.plusplus import PlusPlus
    from zoo_pixel.transformer import PixelTransformer

    kinds: Mapping[str, Callable[..., nn.Module]] = {
        "gated": GatedPixelCNN,
        "mosaic": Mosaic,
        "pixelcnn++": PlusPlus,
        "transformer": PixelTransformer,
    }
    options = dict(config)
    return PixelModel(kinds[options.pop("kind")](**options))
