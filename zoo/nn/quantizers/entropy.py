"""Terms that keep a codebook in use, and what is measured of its use.

With p(k | z) = softmax_k(affinity(z, e_k) / temperature), a quantizer wants each p(. | z) sure of
itself (low mean entropy, `sample`) and their mean spread over all codes (high entropy, `batch`):

    loss = E_z H[p(k | z)] - gamma * H[E_z p(k | z)]

(Yu et al. 2023, MAGVIT-v2, https://arxiv.org/abs/2310.05737, section 3.1).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Floor = Literal["add", "clamp"]


def entropies(logits: Tensor, floor: Floor = "add", eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Mean entropy of each row's softmax, and entropy of the mean softmax, in nats; two scalars.

    logits: (N, K), temperature already divided out. How small probabilities are kept from log 0:
    "add" takes log(p + eps) of the mean and is exact for the rows (MAGVIT, LlamaGen, Open-MAGVIT2);
    "clamp" takes log(max(p, eps)) of both (vector-quantize-pytorch).
    """
    if floor == "clamp":
        p = logits.softmax(dim=-1)
        mean = p.mean(dim=0)
        return (
            -(p * p.clamp_min(eps).log()).sum(dim=-1).mean(),
            -(mean * mean.clamp_min(eps).log()).sum(),
        )
    log_p = torch.log_softmax(logits, dim=-1)
    p = log_p.exp()
    mean = p.mean(dim=0)
    return -(p * log_p).sum(dim=-1).mean(), -(mean * torch.log(mean + eps)).sum()


def perplexity(counts: Tensor) -> Tensor:
    """Exp of the entropy of counts (K,), between 1 and K: how many codes are in even use."""
    p = counts / counts.sum().clamp_min(1)
    return torch.exp(-torch.special.xlogy(p, p).sum())


def orthogonality(codebook: Tensor) -> Tensor:
    """Mean squared cosine between codes (K, D), less the diagonal's 1 / K; 0 for orthogonal codes.

    Shin et al. 2021, https://arxiv.org/abs/2112.00384, equation 2. With a leading axis of
    codebooks (C, K, D) the mean goes over it too.
    """
    unit = F.normalize(codebook, dim=-1)
    cosine = unit @ unit.transpose(-1, -2)  # (..., K, K)
    return cosine.square().mean() - 1 / codebook.shape[-2]
