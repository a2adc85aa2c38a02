"""Where a position is: vectors added to what goes in (`Table`), and rotations of queries and keys (`rotations`).

A rotation turns the pair (x_2i, x_2i+1) of a head's channels by the angle a_i(t) (Su et al., 2021, arXiv:2104.09864),

    (x_2i cos a_i - x_2i+1 sin a_i,  x_2i+1 cos a_i + x_2i sin a_i),

so that a query and a key meet in a_i(t) - a_i(s). What the angles are, for d channels a head, at prefix position p and
at row r and column c of the picture:

    line       t theta^(-2i/d), t the place in the stream
    grid       thirds of the pairs by stream, row and column: a position of the prefix is at (p, p, p), one of the
               picture at (P, P + r, P + c)                       (Wang et al., 2024, arXiv:2409.12191: M-RoPE)
    llamagen   half of the pairs by r, half by c, frequencies theta^(-4i/d); in the prefix cosine and sine are both 0:
               its queries and keys vanish    (Sun et al., 2024, arXiv:2406.06525; its repository, MIT)
    dalle      three parts of floor(d / 3) channels (of an odd number the last is left out): text, p theta^(-2i/(d/3))
               and 8192 for the picture; row and column, pi linspace(1, 5) on linspace(-1, 1), -10 in the text. Values
               are turned as well as queries and keys          (DALLE-pytorch with rotary-embedding-torch, MIT)

The angles are float32 whatever the net's dtype, as in the references, whose weights learned with them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TABLES = ("none", "learned", "axial")
ROTATIONS = ("none", "line", "grid", "llamagen", "dalle")
FAR = 8192.0  # where DALLE-pytorch puts the picture as seen by the text's frequencies
OUTSIDE = -10.0  # and the text as seen by the picture's, which run from -1 to 1


class Table(nn.Module):
    """Learned vectors added to the embeddings: `learned`, one a position; `axial`, row + column in the picture.

    Call it with the first position and how many: (n, C).
    """

    def __init__(self, kind: str, prefix: int, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        self.kind, self.prefix, self.grid = kind, prefix, grid
        if kind == "learned":
            self.places = nn.Parameter(torch.empty(prefix + grid[0] * grid[1], width))
        elif kind == "axial":
            self.places = nn.Parameter(torch.empty(prefix, width))
            self.rows = nn.Parameter(torch.empty(grid[0], width))
            self.columns = nn.Parameter(torch.empty(grid[1], width))
        else:
            raise ValueError(f"there is no table of positions {kind!r}: {', '.join(TABLES[1:])}")
        for each in self.parameters():
            nn.init.normal_(each, std=0.02)

    def forward(self, start: int, count: int) -> Tensor:
        if self.kind == "learned":
            return self.places[start : start + count]
        if count == 1 and start >= self.prefix:
            row, column = divmod(start - self.prefix, self.grid[1])
            return self.rows[row : row + 1] + self.columns[column]
        image = (self.rows[:, None] + self.columns).flatten(0, 1)  # (h w, C)
        return torch.cat([self.places, image])[start : start + count]


def rotations(
    kind: str, prefix: int, grid: tuple[int, int], head: int, theta: float = 10000.0
) -> tuple[Tensor, Tensor]:
    """Cosine and sine (N, d) of the angle by which each channel is turned, float32, on the CPU.

    Both channels of a pair have the same. Channels that are not turned have 1 and 0.
    """
    total = prefix + grid[0] * grid[1]
    places = torch.arange(total)
    image = places >= prefix
    rows = torch.where(image, (places - prefix) // grid[1], 0)
    columns = torch.where(image, (places - prefix) % grid[1], 0)
    if kind == "line":
        angles = _angles(places, _falling(head, theta))
    elif kind == "grid":
        by = torch.where(image, prefix, places)
        share = head // 6  # pairs by row and by column; the stream has the rest
        every = _falling(head, theta)
        stream, others = every[: head // 2 - 2 * share], _falling(2 * share, theta)
        angles = torch.cat(
            [_angles(by, stream), _angles(by + rows, others), _angles(by + columns, others)], -1
        )
    elif kind == "llamagen":
        falling = _falling(head // 2, theta)
        angles = torch.cat([_angles(rows, falling), _angles(columns, falling)], -1)
    else:
        part = head // 3
        rising = torch.linspace(1.0, 5.0, part // 2) * math.pi
        text = torch.where(image, FAR, places.float())
        down = torch.where(image, torch.linspace(-1, 1, grid[0])[rows], OUTSIDE)
        across = torch.where(image, torch.linspace(-1, 1, grid[1])[columns], OUTSIDE)
        angles = torch.cat(
            [_angles(text, _falling(part, theta)), _angles(down, rising), _angles(across, rising)],
            -1,
        )
    turned = angles.repeat_interleave(2, dim=-1)
    cosine, sine = torch.ones(total, head), torch.zeros(total, head)
    cosine[:, : turned.shape[1]], sine[:, : turned.shape[1]] = turned.cos(), turned.sin()
    if kind == "llamagen":
        cosine[:prefix] = 0
        sine[:prefix] = 0
    return cosine, sine


def turn(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """(..., n, d) with each pair of channels turned by the angles whose cosine and sine (n, d) are given."""
    even, odd = x[..., 0::2], x[..., 1::2]
    aside = torch.stack((-odd, even), -1).flatten(-2)
    return x * cosine + aside * sine


def sources(prefix: int, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Token shift (DALLE-pytorch): from where each position takes its first and second quarter of channels; two (N,).

    A position of the prefix takes both from the one before it, one of the picture the first from above and the second
    from the left. Numbers are position + 1; 0 is where nothing is (the edges), and stands for zeros.
    """
    total = prefix + grid[0] * grid[1]
    places = torch.arange(total)
    above, left = places.clone(), places.clone()  # position t - 1, plus one
    image = torch.arange(grid[0] * grid[1])
    above[prefix:] = torch.where(image >= grid[1], prefix + image - grid[1] + 1, 0)
    left[prefix:] = torch.where(image % grid[1] > 0, prefix + image, 0)
    return above, left


def _falling(channels: int, theta: float) -> Tensor:
    """theta^(-2i / channels) for the channels // 2 pairs."""
    return 1.0 / theta ** (torch.arange(0, channels, 2)[: channels // 2].float() / max(channels, 1))


def _angles(places: Tensor, frequencies: Tensor) -> Tensor:
    return places.float()[:, None] * frequencies
