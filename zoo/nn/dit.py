"""Diffusion transformer: patches of a noisy picture as tokens, time and label through the norms.

With e the embedding of time and label, each block (Peebles and Xie, "DiT", arXiv:2212.09748) is

    x <- x + g1 attention(norm(x) (1 + s1) + b1),   x <- x + g2 mlp(norm(x) (1 + s2) + b2)
    (b1, s1, g1, b2, s2, g2) = W silu(e)                                       "adaLN-Zero": W starts at zero

Positions are fixed: sines and cosines of the column, then of the row, each a quarter of the width. Letters: N patches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.time import TimeEmbedding
from zoo.nn.unet.blocks import split as parted
from zoo.nn.unet.options import Split

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu-tanh": partial(F.gelu, approximate="tanh"),
    "gelu-sigmoid": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": F.silu,
}
GATED: dict[str, Callable[[Tensor], Tensor]] = {"geglu": F.gelu, "swiglu": F.silu}


class Conditions(nn.Module):
    """Time (B,) and label (B,) int64 to (B, width); the label `classes` is none."""

    def __init__(self, width: int, classes: int, null: bool, time: Mapping[str, Any]) -> None:
        super().__init__()
        self.classes, self.null = classes, null
        self.time = TimeEmbedding(embed=width, **time)
        self.label = nn.Embedding(classes + null, width) if classes else None

    def forward(self, t: Tensor, label: Tensor | None) -> Tensor:
        """Raises ValueError for a label missing, or given to a net that knows none."""
        e: Tensor = self.time(t)
        if self.label is None:
            if label is not None:
                raise ValueError("a label was given to a net that knows none")
            return e
        if label is None:
            if not self.null:
                raise ValueError(
                    f"the net needs a label for each picture, 0 ... {self.classes - 1}"
                )
            label = torch.full((len(t),), self.classes, device=t.device)
        out: Tensor = e + self.label(label)
        return out


class Block(nn.Module):
    """x (B, N, C), and e (B, C) -> (B, N, C). See the module's docstring.

    `conditions`, if the block has its own, makes e from time and label.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        split: Split,
        activation: str,
        bias: bool,
        affine: bool,
        eps: float,
        dropout: float,
        conditions: Conditions | None,
    ) -> None:
        super().__init__()
        self.heads, self.split, self.gated = heads, split, activation in GATED
        self.activation = {**ACTIVATIONS, **GATED}[activation]
        self.conditions = conditions
        self.modulation = nn.Linear(width, 6 * width)
        self.norm1 = nn.LayerNorm(width, 1e-6, elementwise_affine=False)
        if split == "apart":
            self.q = nn.Linear(width, width, bias)
            self.k = nn.Linear(width, width, bias)
            self.v = nn.Linear(width, width, bias)
        else:
            self.qkv = nn.Linear(width, 3 * width, bias)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps, elementwise_affine=affine)
        self.up = nn.Linear(width, 2 * hidden if self.gated else hidden)
        self.down = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        b1, s1, g1, b2, s2, g2 = self.modulation(F.silu(e))[:, None].chunk(6, dim=2)
        x = torch.addcmul(x, g1, self._attend(torch.addcmul(b1, self.norm1(x), 1 + s1)))
        return torch.addcmul(x, g2, self._think(torch.addcmul(b2, self.norm2(x), 1 + s2)))

    def _attend(self, h: Tensor) -> Tensor:
        if self.split == "apart":
            shape = (self.heads, -1)
            q, k, v = (f(h).unflatten(2, shape).transpose(1, 2) for f in (self.q, self.k, self.v))
        else:
            q, k, v = parted(self.qkv(h), self.heads, self.split)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (B, N, C)
        out: Tensor = self.dropout(self.out(mixed))
        return out

    def _think(self, h: Tensor) -> Tensor:
        h = self.up(h)
        if self.gated:
            value, gate = h.chunk(2, dim=2)
            h = value * self.activation(gate)
        else:
            h = self.activation(h)
        out: Tensor = self.down(self.dropout(h))
        return out


class DiT(nn.Module):
    """x (B, channels, H, W), t (B,), {label} -> (B, outputs, H, W); H and W divide by `patch`.

    size        sides (or one side) of the pictures it was made for, which position vectors are stretched from
    width       of a token, shared among `heads`; `hidden` of the two layers at each position, 4 widths if not said
    classes     labels 0 ... classes - 1, plus with `null` the label `classes`, for none
    conditions  "shared": time and label are embedded once; "each": by every block (as diffusers stores them)
    split       how one projection divides into queries, keys and values: "heads", "parts" or "apart"
    activation  of ACTIVATIONS or GATED
    time        `TimeEmbedding`'s options
    """

    positions: Tensor

    def __init__(
        self,
        channels: int,
        outputs: int,
        size: int | tuple[int, int],
        width: int,
        depth: int,
        heads: int,
        *,
        patch: int = 2,
        hidden: int | None = None,
        classes: int = 0,
        null: bool = True,
        conditions: Literal["shared", "each"] = "shared",
        split: Split = "parts",
        activation: str = "gelu-tanh",
        bias: bool = True,
        affine: bool = False,
        eps: float = 1e-6,
        dropout: float = 0.0,
        time: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if width % heads or width % 4:
            raise ValueError(f"width {width} must divide among {heads} heads, and by 4")
        if activation not in ACTIVATIONS and activation not in GATED:
            known = sorted([*ACTIVATIONS, *GATED])
            raise ValueError(f"unknown activation {activation!r}; there are {known}")
        if conditions not in ("shared", "each"):
            raise ValueError(f"unknown conditions {conditions!r}; there are 'shared' and 'each'")
        self.channels, self.outputs, self.patch, self.width = channels, outputs, patch, width
        self.classes, self.null = classes, null
        sides = (size, size) if isinstance(size, int) else tuple(size)
        self.grid = (sides[0] // patch, sides[1] // patch)
        made = partial(Conditions, width, classes, null, {"width": 256, **(time or {})})
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.conditions = made() if conditions == "shared" else None
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                4 * width if hidden is None else hidden,
                split=split,
                activation=activation,
                bias=bias,
                affine=affine,
                eps=eps,
                dropout=dropout,
                conditions=made() if conditions == "each" else None,
            )
            for _ in range(depth)
        )
        self.modulation = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width, 1e-6, elementwise_affine=False)
        self.out = nn.Linear(width, patch * patch * outputs)
        self.register_buffer("positions", torch.empty(self.grid[0] * self.grid[1], width), False)
        if not self.positions.is_meta:
            self.reset_buffers()
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.out.weight)

    def reset_buffers(self) -> None:
        """Position vectors of the grid that the net was made for; they are in no file."""
        self.positions = positions(self.grid, self.width, self.grid[0]).to(self.out.weight)

    def forward(self, x: Tensor, t: Tensor, cond: Mapping[str, Tensor] | None = None) -> Tensor:
        label = (cond or {}).get("label")
        blocks = [cast(Block, block) for block in self.blocks]
        shared = None if self.conditions is None else self.conditions(t, label)
        h = self.patches(x)  # (B, C, h, w)
        grid = (h.shape[2], h.shape[3])
        h = h.flatten(2).transpose(1, 2) + self._places(grid, h)
        last = shared
        for block in blocks:
            e = shared if shared is not None else cast(Conditions, block.conditions)(t, label)
            last = e if last is None else last  # the first block's, where each has its own
            h = block(h, e)
        b, s = self.modulation(F.silu(cast(Tensor, last)))[:, None].chunk(2, dim=2)
        h = self.out(torch.addcmul(b, self.norm(h), 1 + s))  # (B, N, patch patch outputs)
        h = h.view(len(x), *grid, self.patch, self.patch, self.outputs).permute(0, 5, 1, 3, 2, 4)
        out: Tensor = h.reshape(len(x), self.outputs, grid[0] * self.patch, grid[1] * self.patch)
        return out

    def _places(self, grid: tuple[int, int], h: Tensor) -> Tensor:
        if grid == self.grid:
            return self.positions
        return positions(grid, self.width, self.grid[0], h.device).to(h.dtype)


def positions(
    grid: tuple[int, int], width: int, made_for: int, device: torch.device | None = None
) -> Tensor:
    """Position vectors (h w, width) of a grid, its rows and columns stretched to 0 ... made_for.

    Half the width for columns, half for rows: sines, then cosines, at 10000^(-4 i / width).
    """
    quarter = width // 4
    rates = torch.arange(quarter, dtype=torch.float64, device=device) / quarter
    rates = 10000.0**-rates
    rows, columns = (
        (torch.arange(n, dtype=torch.float32, device=device) / (n / made_for)).double()
        for n in grid
    )
    of = [torch.outer(places, rates) for places in (rows, columns)]
    row, column = (torch.cat([each.sin(), each.cos()], dim=1) for each in of)
    h, w = grid
    both = [column.expand(h, w, -1), row[:, None].expand(h, w, -1)]
    return torch.cat(both, dim=2).flatten(0, 1).float()
