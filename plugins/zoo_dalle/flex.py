"""Attention patterns by FlexAttention, which skips the blocks of keys that nobody in a block of queries may see.

    mix(q, k, v) = flex_attention(q, k, v, block_mask)         (Dong et al., 2024, arXiv:2412.05496; torch >= 2.5)

`scaled_dot_product_attention` with a mask computes all N^2 products and throws most of a sparse pattern's away; this
computes those blocks of 128 x 128 that have anything. It wants `torch.compile` and a GPU; on a CPU, and for a step,
which reads its few neighbours alone, `zoo_dalle.attention` does without.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Flex:
    """A `zoo_dalle.attention.Kernel` for one pattern: (B, heads, n, d) of queries, keys and values to the mixture.

    `mask` (N, N) bool; the first n positions of it count. Without `compiled` the products are computed one by one, for
    checking.
    """

    def __init__(self, mask: Tensor, compiled: bool = True) -> None:
        from torch.nn.attention.flex_attention import flex_attention

        self.mask = mask
        self.mix: Any = torch.compile(flex_attention) if compiled else flex_attention
        self.blocks: dict[int, Any] = {}

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found = self.mix(
            q, k, v, block_mask=self._blocks(q.shape[2]), enable_gqa=q.shape[1] != k.shape[1]
        )
        out: Tensor = found
        return out

    def _blocks(self, length: int) -> Any:
        """Which blocks of keys each block of queries sees, for so many positions; made once."""
        if length not in self.blocks:
            from torch.nn.attention.flex_attention import create_block_mask

            mask = self.mask

            def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
                return mask[query, key]

            self.blocks[length] = create_block_mask(
                sees, None, None, length, length, device=str(mask.device)
            )
        return self.blocks[length]
