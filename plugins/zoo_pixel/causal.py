"""Causal convolution on a grid of positions in raster order, with a step that remembers.

Position (i, j) of an h x w grid comes before (i', j') if i < i', or i = i' and j < j'. A causal convolution reaches
`reach` rows up, `reach` columns to both sides in those rows, and to the left in its own row, the position itself
included unless it is strict: the kernel's other weights are masked (van den Oord et al., 2016, arXiv:1601.06759).
Tensors have their channels last, (B, h, w, C), which is what the matrix products around it want.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.transformer import Memory


class CausalConv(nn.Module):
    """(B, h, w, I) to (B, h, w, O); `groups` as in nn.Conv2d, 1 or all channels apart."""

    mask: Tensor

    def __init__(
        self, inputs: int, outputs: int, reach: int, strict: bool = False, groups: int = 1
    ) -> None:
        super().__init__()
        self.reach, self.groups, self.strict = reach, groups, strict
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, reach + 1, 2 * reach + 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("mask", torch.empty(reach + 1, 2 * reach + 1), persistent=False)
        self.reset_buffers()
        seen = 2 * reach * (reach + 1) + (0 if strict else 1)  # weights that are not masked
        nn.init.normal_(self.weight, std=(seen * inputs / groups) ** -0.5)

    def reset_buffers(self) -> None:
        """Fill the mask, after loading onto a net that was built on the meta device."""
        mask = torch.ones(self.mask.shape, dtype=self.weight.dtype, device=self.weight.device)
        mask[-1, self.reach + (0 if self.strict else 1) :] = 0
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        r = self.reach
        padded = F.pad(x.permute(0, 3, 1, 2), (r, r, r, 0))
        out = F.conv2d(padded, self.weight * self.mask, self.bias, groups=self.groups)
        return out.permute(0, 2, 3, 1)

    def memory(self, count: int, grid: tuple[int, ...]) -> Memory:
        """Room for the inputs of `count` pictures, with the border that the kernel needs."""
        r, (height, width) = self.reach, grid
        shape = (count, height + r, width + 2 * r, self.groups * self.weight.shape[1])
        weight = self.weight * self.mask
        if self.groups == 1:
            weight = weight.permute(2, 3, 1, 0).flatten(0, 2)  # (taps I, O)
        else:
            weight = weight[:, 0].permute(1, 2, 0)  # (rows, columns, C)
        return Memory(seen=self.weight.new_zeros(shape), weight=weight.contiguous())

    def step(self, x: Tensor, memory: Memory) -> Tensor:
        """The next position: (B, I) to (B, O)."""
        if self.strict:
            out = self.ahead(memory)
            self.push(x, memory)
            return out
        self.push(x, memory)
        memory.count -= 1
        out = self.ahead(memory)
        memory.count += 1
        return out

    def push(self, x: Tensor, memory: Memory) -> None:
        """Remember x (B, I) of the next position."""
        i, j = self._place(memory)
        memory.tensors["seen"][:, i + self.reach, j + self.reach] = x
        memory.count += 1

    def ahead(self, memory: Memory) -> Tensor:
        """(B, O) of the next position; all that a strict convolution needs is there before x is."""
        i, j = self._place(memory)
        r, weight = self.reach, memory.tensors["weight"]
        patch = memory.tensors["seen"][:, i : i + r + 1, j : j + 2 * r + 1]
        if self.groups == 1:
            return torch.addmm(self.bias, patch.flatten(1), weight)
        return (patch * weight).sum((1, 2)) + self.bias

    def _place(self, memory: Memory) -> tuple[int, int]:
        return divmod(memory.count, memory.tensors["seen"].shape[2] - 2 * self.reach)
