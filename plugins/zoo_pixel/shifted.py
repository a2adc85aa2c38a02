"""Causal convolutions by shifting: kernels that lie above, or above and to the left, and never get to see the rest.

A kernel of kh x kw with kh - 1 rows of padding above sees rows i - kh + 1 ... i. "down" pads (kw - 1) / 2 columns to
both sides: whole rows from above, for streams that may see all of them. "right" pads kw - 1 columns to the left alone:
what came before in raster order (Salimans et al., 2017, arXiv:1701.05517, section 2.4; van den Oord et al., 2016,
arXiv:1606.05328, section 2.2). `shift` moves the output one row down or one pixel to the right, which leaves out the
position itself.

To sample, a layer is given its input a piece at a time, a row or a pixel, keeps it, and answers for that piece. Every
tensor is (B, C, h, w); a piece is (B, C, 1, n).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Scaled(nn.Module):
    """A weight g v / |v| (Salimans & Kingma, 2016, arXiv:1602.07868), the norm over all but the first axis."""

    def __init__(self, *shape: int, outputs: int, fan: int) -> None:
        super().__init__()
        self.weight_v = nn.Parameter(torch.randn(shape) * fan**-0.5)
        self.weight_g = nn.Parameter(torch.ones(shape[0], *[1] * (len(shape) - 1)))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def weight(self) -> Tensor:
        """G v / |v|, shaped as v."""
        norm = self.weight_v.flatten(1).norm(dim=1).view_as(self.weight_g)
        out: Tensor = self.weight_v * (self.weight_g / norm)
        return out


class ShiftedConv(nn.Module):
    """(B, I, h, w) to (B, O, h / stride, w / stride)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        sees: Literal["down", "right"],
        stride: int = 1,
        shift: Literal["", "down", "right"] = "",
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.shift = kernel, stride, shift
        high, wide = kernel
        self.conv = Scaled(outputs, inputs, high, wide, outputs=outputs, fan=inputs * high * wide)
        sides = (wide - 1) // 2 if sees == "down" else wide - 1
        self.left, self.right = sides, sides if sees == "down" else 0
        self.above = high - 1

    def forward(self, x: Tensor) -> Tensor:
        out = F.conv2d(
            F.pad(x, (self.left, self.right, self.above, 0)),
            self.conv.weight(),
            self.conv.bias,
            self.stride,
        )
        if self.shift == "down":
            return F.pad(out[:, :, :-1], (0, 0, 1, 0))
        return F.pad(out[..., :-1], (1, 0)) if self.shift == "right" else out

    def seen(self, count: int, size: int) -> Seen:
        """Nothing yet, of `count` maps of `size` x `size`."""
        return Seen(self, count, size)


class Seen:
    """What a ShiftedConv was given so far, with its padding; `shift` is the business of who asks."""

    def __init__(self, layer: ShiftedConv, count: int, size: int) -> None:
        self.layer, self.weight = layer, layer.conv.weight()
        self.matrix = self.weight.flatten(1).T.contiguous()
        shape = (count, self.weight.shape[1], size + layer.above, size + layer.left + layer.right)
        self.room = self.weight.new_zeros(shape)

    def put(self, piece: Tensor, i: int, j: int) -> None:
        """Keep a piece (B, I, 1, n) of row i that begins at column j."""
        layer = self.layer
        at = j + layer.left
        self.room[:, :, i + layer.above, at : at + piece.shape[-1]] = piece[:, :, 0]

    def get(self, i: int, j: int, count: int) -> Tensor:
        """The output (B, O, 1, count) whose last inputs are in row i, from column j on."""
        (high, wide), step = self.layer.kernel, self.layer.stride
        if count == 1:
            return self.at(i, j)[..., None, None]
        patch = self.room[:, :, i : i + high, j : j + (count - 1) * step + wide]
        return F.conv2d(patch, self.weight, self.layer.conv.bias, step)

    def at(self, i: int, j: int) -> Tensor:
        """The output (B, O) at one place."""
        high, wide = self.layer.kernel
        patch = self.room[:, :, i : i + high, j : j + wide].flatten(1)
        return torch.addmm(self.layer.conv.bias, patch, self.matrix)

    def step(self, piece: Tensor, i: int, j: int) -> Tensor:
        """`put`, then `get` for the same place."""
        self.put(piece, i, j)
        return self.get(i, j, piece.shape[-1])


class ShiftedDeconv(nn.Module):
    """(B, I, h, w) to (B, O, 2 h, 2 w): the transposed convolution; place (i, j) reaches rows 2 i and 2 i + 1."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        high, wide = kernel
        self.deconv = Scaled(inputs, outputs, high, wide, outputs=outputs, fan=inputs * high * wide)
        self.side = (wide - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        return self.spread(x, self.deconv.weight())

    def spread(self, x: Tensor, weight: Tensor) -> Tensor:
        """`forward` with the weight made before; of a piece (B, I, 1, n) the rows and columns it reaches."""
        out = F.conv_transpose2d(
            x, weight, self.deconv.bias, 2, output_padding=1
        )  # (B, O, 2 h + 1, 2 w + kw - 1)
        return out[:, :, : 2 * x.shape[2], self.side : self.side + 2 * x.shape[3]]


class Pointwise(nn.Module):
    """A linear layer over the channels ("network in network"): (B, I, h, w) to (B, O, h, w)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.lin_a = Scaled(outputs, inputs, outputs=outputs, fan=inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.movedim(1, -1), self.lin_a.weight(), self.lin_a.bias).movedim(-1, 1)
