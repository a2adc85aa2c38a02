"""Entropy terms that keep a codebook in use.

With p(k | z) = softmax_k(affinity(z, e_k) / temperature), a quantizer wants each p(. | z) sure of
itself (low mean entropy, `sample`) and their mean spread over all codes (high entropy, `batch`):

    loss = E_z H[p(k | z)] - gamma * H[E_z p(k | z)]

(Yu et al. 2023, MAGVIT-v2, https://arxiv.org/abs/2310.05737, section 3.1).
"""

from __future__ import annotations

import torch
from torch import Tensor


def entropies(logits: Tensor, floor: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Mean entropy of each row's softmax, and entropy of the mean softmax, in nats.

    logits: (N, K), temperature already divided out. floor is added to the mean probabilities before
    their logarithm, as MAGVIT's, LlamaGen's and Open-MAGVIT2's code does. Returns two scalars.
    """
    log_p = torch.log_softmax(logits, dim=-1)
    p = log_p.exp()
    sample = -(p * log_p).sum(dim=-1).mean()
    mean = p.mean(dim=0)
    return sample, -(mean * torch.log(mean + floor)).sum()
