"""Each pixel of a tile as a mixture of logistics, from the tile's context and the pixels around it.

A component k is centred on a guess that the neighbours W, N, NW, NE, ... already known make, as lossless coders do
(W, N, the plane W + N - NW, ...; Weinberger et al., "LOCO-I", 2000, https://doi.org/10.1109/83.855427), so that flat
areas need no learning; a small net adds an offset o. `copies` further components are a neighbour itself, all
channels of it, for pictures of flat colours. Channels move together: an error of red moves green's mean,

    m_kc = guess_kc + o_kc,      mu_kc(x_<c) = m_kc + sum_{d < c} w_kcd (x_d - m_kd).

Letters: N neighbours, M components, C channels, f x f pixels a tile, h x w tiles.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_pixel.logistic import Mixture

NEIGHBOURS = (  # W N NW NE WW NN, then those a knight's move away
    *((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)),
    *((-1, -2), (-2, -1), (-2, 1), (-1, 2)),
)
GUESSES = (
    (1.0, 0.0, 0.0, 0.0, 0.0, 0.0),  # W
    (0.0, 1.0, 0.0, 0.0, 0.0, 0.0),  # N
    (1.0, 1.0, -1.0, 0.0, 0.0, 0.0),  # the plane through W, N and NW
    (0.5, 0.5, 0.0, 0.0, 0.0, 0.0),
    (0.0, 0.0, 0.0, 1.0, 0.0, 0.0),  # NE
    (1.0, -1.0, 0.0, 1.0, 0.0, 0.0),
)
SURE = -8.0  # log-scale of a copy: all but 2e-5 of its mass is on one level


class Mixtures(nn.Module):
    """The distribution of each pixel of a tile: context and known neighbours to a mixture of logistics."""

    neighbours: (
        Tensor  # (h w, f f, N) which pixel (raster number) is a neighbour; H W: there is none
    )
    guesses: Tensor  # (6, M)

    def __init__(
        self,
        size: int,
        tile: int,
        channels: int,
        width: int,
        hidden: int,
        mixtures: int,
        copies: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.tile, self.channels = size, tile, channels
        self.mixtures, self.copies = mixtures, copies
        places, seen = tile * tile, len(NEIGHBOURS)
        self.context = nn.Linear(width, places * hidden)
        self.local = nn.Linear((seen + 1) * channels, hidden, bias=False)
        self.middle = nn.Linear(hidden, hidden)
        pairs = channels * (channels - 1) // 2
        self.sizes = [mixtures + copies, channels * mixtures, channels * mixtures, pairs * mixtures]
        self.out = nn.Linear(hidden, sum(self.sizes))
        with torch.no_grad():
            self.out.weight.mul_(0.2)
            for part, value in zip(
                torch.split(self.out.bias, self.sizes), (0, 0, -3, 0.7), strict=True
            ):
                part.fill_(value)
            self.out.bias[mixtures : mixtures + copies] = -2
        shape = ((size // tile) ** 2, places, seen)
        self.register_buffer("neighbours", torch.empty(shape, dtype=torch.int64), persistent=False)
        self.register_buffer("guesses", torch.empty(len(GUESSES[0]), mixtures), persistent=False)
        self.reset_buffers()

    def reset_buffers(self) -> None:
        """Fill the tables, after loading onto a net that was built on the meta device."""
        device = self.out.weight.device
        if device.type == "meta":
            return
        self.neighbours = neighbours(self.size, self.tile).to(device)
        rows = [GUESSES[k % len(GUESSES)] for k in range(self.mixtures)]
        self.guesses = torch.tensor(rows, device=device, dtype=self.out.weight.dtype).T.contiguous()

    def forward(self, context: Tensor, around: Tensor) -> Mixture:
        """(..., hidden) and (..., N, C) to the mixtures of those pixels."""
        plain = (around[..., 0, :] + around[..., 1, :]) / 2
        slopes = (around - plain[..., None, :]) * 4
        local = torch.cat([plain, slopes.flatten(-2)], -1)
        h = F.silu(context + self.local(local))
        h = h + F.silu(self.middle(h))
        weights, offsets, scales, linear = torch.split(self.out(h), self.sizes, -1)
        shape = (*h.shape[:-1], self.channels, self.mixtures)
        means = (
            offsets.view(shape)
            + around[..., : len(self.guesses), :].transpose(-1, -2) @ self.guesses
        )
        linear = linear.view(*h.shape[:-1], -1, self.mixtures)
        means, scales = shifted(means, linear), scales.view(shape).clamp(min=-9)
        if self.copies:  # no offset, no error to pass on: the neighbour itself
            copied = around[..., : self.copies, :].transpose(-1, -2)
            means = torch.cat([means, copied], -1)
            scales = torch.cat([scales, torch.full_like(copied, SURE)], -1)
            linear = F.pad(linear, (0, self.copies))
        return Mixture(weights.log_softmax(-1), means, scales, linear)

    def spread(self, context: Tensor) -> Tensor:
        """(..., width) of tiles to (..., f f, hidden) of their pixels."""
        out: Tensor = self.context(context)
        return out.view(*out.shape[:-1], self.tile**2, self.middle.in_features)


def shifted(means: Tensor, linear: Tensor) -> Tensor:
    """From means that the earlier channels' *errors* move to the m of `zoo_pixel.logistic`, moved by their values."""
    columns = list(means.unbind(-2))
    for channel in range(1, len(columns)):
        first = channel * (channel - 1) // 2
        for before in range(channel):
            columns[channel] = (
                columns[channel] - linear[..., first + before, :] * means[..., before, :]
            )
    return torch.stack(columns, -2)


def neighbours(size: int, tile: int) -> Tensor:
    """(h w, f f, N): raster numbers of the neighbours already known, or of one that stands in for it."""
    side = size // tile

    def order(i: int, j: int) -> tuple[int, int]:
        return (i // tile) * side + j // tile, (i % tile) * tile + j % tile

    def known(i: int, j: int, step: tuple[int, int]) -> int | None:
        y, x = i + step[0], j + step[1]
        there = 0 <= y < size and 0 <= x < size and order(y, x) < order(i, j)
        return y * size + x if there else None

    table = torch.empty(side * side, tile * tile, len(NEIGHBOURS), dtype=torch.int64)
    for i in range(size):
        for j in range(size):
            west, north = (known(i, j, step) for step in NEIGHBOURS[:2])
            west, north = (north if west is None else west), (west if north is None else north)
            for index, step in enumerate(NEIGHBOURS):
                found = known(i, j, step)
                if found is None:
                    found = west if step[0] == 0 else north
                p, k = order(i, j)
                table[p, k, index] = size * size if found is None else found
    return table
