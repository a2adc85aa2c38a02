"""Nearest code of a codebook, by matrix products.

argmin_k |z - e_k|^2 = argmin_k (|e_k|^2 / 2 - z.e_k), because |z|^2 does not depend on k.
The right side is one GEMM with a bias, taken in blocks of codes with a running minimum: neither
the (N, K) distances nor a one-hot matrix is ever stored. Ties go to the lowest index, as
torch.argmin's do.
"""

from __future__ import annotations

import torch
from torch import Tensor

CODES, ROWS = 4096, 512  # a block of scores: 8 MiB of float32
# torch.argmin is scalar on the CPU, torch.amin is vectorised: minima of groups of this many codes
# are taken first, then two short argmins (over the groups, inside the best group).
GROUP = 128


def nearest(z: Tensor, codebook: Tensor) -> Tensor:
    """Index of the code nearest to each row in Euclidean distance.

    z: (N, D) floating; codebook: (K, D) on the same device. Returns (N,) int64, the lowest index
    where two codes are equally near. Computed in float32, or float64 where z is float64.
    """
    wide = torch.float64 if z.dtype == torch.float64 else torch.float32
    with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
        z, codebook = z.detach().to(wide), codebook.detach().to(wide)
        half = torch.linalg.vector_norm(codebook, dim=1).square_().mul_(0.5)  # (K,)
        rows = ROWS if z.device.type == "cpu" else 32 * ROWS
        if len(z) <= rows:
            return _block(z, codebook, half)
        return torch.cat([_block(block, codebook, half) for block in torch.split(z, rows)])


def _block(z: Tensor, codebook: Tensor, half: Tensor) -> Tensor:
    """nearest() of few enough rows. z: (N, D) -> (N,) int64."""
    room = z.new_empty(len(z) * min(CODES, len(codebook)))  # one block of scores, used again
    least, tokens = _lowest(_scores(z, codebook[:CODES], half[:CODES], room))
    for first in range(CODES, len(codebook), CODES):
        block = slice(first, first + CODES)
        score, index = _lowest(_scores(z, codebook[block], half[block], room))
        better = score < least
        least = torch.where(better, score, least)
        tokens = torch.where(better, index + first, tokens)
    return tokens


def _scores(z: Tensor, codes: Tensor, half: Tensor, room: Tensor) -> Tensor:
    """|e|^2 / 2 - z.e, written into `room`. z: (N, D), codes: (K, D) -> (N, K)."""
    out = room[: len(z) * len(codes)].view(len(z), len(codes))
    return torch.addmm(half, z, codes.T, alpha=-1, out=out)


def _lowest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's minimum and its first index. scores: (N, K) -> (N,), (N,) int64."""
    rows, codes = scores.shape
    if scores.device.type != "cpu" or codes % GROUP or codes <= GROUP:
        token = scores.argmin(dim=1)
        return scores.gather(1, token[:, None]).squeeze(1), token
    groups = scores.view(rows, codes // GROUP, GROUP)
    minima = groups.amin(dim=2)  # (N, K / GROUP)
    group = minima.argmin(dim=1)  # (N,) the first group that holds the minimum
    best = groups[torch.arange(rows), group]  # (N, GROUP)
    return minima.gather(1, group[:, None]).squeeze(1), group * GROUP + best.argmin(dim=1)
