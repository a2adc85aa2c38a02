"""The nets that say how far a coupling moves: any function will do, none is ever inverted.

All end in a layer that starts at zero, so that a flow starts as the identity map.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """h + conv3(relu(conv3(relu(h)))), the second convolution zero at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, h: Tensor) -> Tensor:
        """(B, W, H, W) -> the same."""
        out: Tensor = h + self.second(F.relu(self.first(F.relu(h))))
        return out


class Convolutions(nn.Module):
    """3x3 convolution, residual blocks, 3x3 convolution: (B, inputs, H, W) -> (B, outputs, H, W).

    With `size` it also knows where it is (a learned map added to the first layer), with `classes`
    of what: an embedding of the label; the last one, `classes`, stands for "not said".
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        blocks: int,
        size: tuple[int, int] | None = None,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.enter = nn.Conv2d(inputs, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.leave = nn.Conv2d(width, outputs, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]
        self.place = None if size is None else nn.Parameter(torch.zeros(1, width, *size))
        self.label = nn.Embedding(classes + 1, width) if classes else None

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W); cond: labels (B,)."""
        h = self.enter(x)
        if self.place is not None:
            h = h + self.place
        if self.label is not None:
            h = h + self.label(cond)[:, :, None, None]
        out: Tensor = self.leave(F.relu(self.blocks(h)))
        return out


class Perceptron(nn.Module):
    """Linear layers with ReLU: (B, inputs) -> (B, outputs)."""

    def __init__(self, inputs: int, outputs: int, hidden: list[int]) -> None:
        super().__init__()
        sizes = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """(B, inputs) -> (B, outputs)."""
        for index, layer in enumerate(self.layers):
            if index:
                x = F.relu(x, inplace=True)  # the last layer's own result, which it does not keep
            x = F.linear(x, layer.weight, layer.bias)  # type: ignore[arg-type]
        return x
