"""Nearest code of a codebook, by one matrix product.

argmin_k |z - e_k|^2 = argmin_k (|e_k|^2 / 2 - z.e_k), because |z|^2 does not depend on k.
The right side is one GEMM with a bias. It is taken in blocks of rows small enough to stay in a
core's cache, and only the running minimum of a block is kept: neither the (N, K) distances nor a
one-hot matrix is ever stored. Ties go to the lowest index, as torch.argmin's do.
"""

from __future__ import annotations

import torch
from torch import Tensor

# A block of scores is at most this many numbers (4 MiB of float32, two cores' second-level caches).
BLOCK = 1 << 20
# torch.argmin is scalar on the CPU, torch.amin is vectorised: minima of groups of this many codes
# are taken first, then the two short argmins (over groups, inside the best group).
GROUP = 64


def nearest(z: Tensor, codebook: Tensor) -> Tensor:
    """Index of the code nearest to each row in Euclidean distance.

    z: (N, D) floating; codebook: (K, D) on the same device. Returns (N,) int64; the lowest index
    where two codes are equally near. Computed in float32, or float64 where z is float64.
    """
    wide = torch.float64 if z.dtype == torch.float64 else torch.float32
    with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
        z, codebook = z.detach().to(wide), codebook.detach().to(wide)
        half = torch.linalg.vector_norm(codebook, dim=1).square_().mul_(0.5)  # (K,)
        rows = max(1, BLOCK // max(1, codebook.shape[0]))
        if z.shape[0] <= rows:
            return _lowest(torch.addmm(half, z, codebook.T, alpha=-1))
        tokens = torch.empty(z.shape[0], dtype=torch.int64, device=z.device)
        for first in range(0, z.shape[0], rows):
            block = z[first : first + rows]
            tokens[first : first + rows] = _lowest(torch.addmm(half, block, codebook.T, alpha=-1))
        return tokens


def _lowest(scores: Tensor) -> Tensor:
    """First index of each row's minimum. scores: (N, K) -> (N,) int64."""
    rows, codes = scores.shape
    if scores.device.type != "cpu" or codes % GROUP or codes <= GROUP:
        return scores.argmin(dim=1)
    groups = scores.view(rows, codes // GROUP, GROUP)
    group = groups.amin(dim=2).argmin(dim=1)  # (N,) the first group that holds the minimum
    best = groups[torch.arange(rows, device=scores.device), group]  # (N, GROUP)
    return group * GROUP + best.argmin(dim=1)
