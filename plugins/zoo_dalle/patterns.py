"""Which positions a position may look at: a boolean N x N matrix, True at [t, s] where t sees s.

The stream is P prefix positions and then an h x w picture in raster order, N = P + h w. Every pattern is causal
(s <= t) and lets t see itself and all of the prefix that is not after it. They differ in what position (r, c) of the
picture sees of the picture before it (Ramesh et al., 2021, arXiv:2102.12092, B.1; Child et al., 2019,
arXiv:1904.10509):

    full     everything
    row      (r, c') with c' <= c
    column   (r', c) with r' <= r
    conv     (r', c') with r - k < r' <= r and c - k < c' <= c: the k x k window that ends at (r, c)
    around   (r', c') with |r - r'| and |c - c'| up to k // 2: the k x k window around (r, c), as far as it is before it
    recent   the last w + 1 positions of the picture, itself among them: from (r - 1, c) on
    block    blocks of b positions of the stream: its own group of four blocks, and about a quarter as many others as
             there are, drawn once and for all (the sparse pattern of DALLE-pytorch, whose draw no checkpoint holds)

Row, column and conv are those of DALLE-pytorch's axial_row, axial_col and conv_like (lucidrains, MIT); column, around
and recent are ruDALL-E's (ai-forever, Apache-2.0).
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

KINDS = ("full", "row", "column", "conv", "around", "recent", "block")
GROUP = 4  # blocks a local window, and the share of blocks (one in four) that are drawn at random


def visible(
    kind: str, prefix: int, grid: tuple[int, int], kernel: int = 5, block: int = 16
) -> Tensor:
    """(N, N) bool, True where row t may look at column s; on the CPU.

    Raises ValueError for a kind that does not exist.
    """
    total = prefix + grid[0] * grid[1]
    places = torch.arange(total)
    causal = places[:, None] >= places  # (N, N)
    if kind == "full":
        return causal
    image = (places - prefix).clamp(min=0)
    rows, columns = image // grid[1], image % grid[1]  # (N,) each; of no meaning in the prefix
    if kind == "row":
        near = rows[:, None] == rows
    elif kind == "column":
        near = columns[:, None] == columns
    elif kind == "conv":
        up, left = rows[:, None] - rows, columns[:, None] - columns
        near = (up >= 0) & (up < kernel) & (left >= 0) & (left < kernel)
    elif kind == "around":
        reach = kernel // 2
        near = (rows[:, None] - rows).abs() <= reach
        near &= (columns[:, None] - columns).abs() <= reach
    elif kind == "recent":
        near = image[:, None] - image <= grid[1]
    elif kind == "block":
        near = _blocks(total, block)
    else:
        raise ValueError(f"there is no attention pattern {kind!r}; there are {', '.join(KINDS)}")
    return causal & (
        near | (places < prefix)
    )  # what is before the prefix's end is seen by all after it


def neighbours(mask: Tensor, prefix: int) -> list[Tensor]:
    """For each position of the picture, those of the picture it sees, itself last: int64, 0 the picture's first.

    `mask` is what `visible` gives.
    """
    image = mask[prefix:, prefix:]
    return [row[: t + 1].nonzero().squeeze(-1) for t, row in enumerate(image)]


def _blocks(total: int, block: int) -> Tensor:
    """(N, N) bool of the block-sparse pattern, not yet causal."""
    count = -(-total // block)
    numbers = torch.arange(count)
    near = numbers[:, None] // GROUP == numbers // GROUP
    drawn = Generator().manual_seed(0)
    for number in range(count):
        near[number, torch.randperm(count, generator=drawn)[: count // GROUP]] = True
    each = torch.arange(total) // block
    return near[each][:, each]
