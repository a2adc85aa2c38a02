"""Residual quantisation: each quantizer codes what the ones before it left.

    r_1 = z,   q_i = Q_i(r_i),   r_(i+1) = r_i - sg(q_i),   codes = sum_i q_i

(Zeghidour et al. 2021, https://arxiv.org/abs/2107.03312, algorithm 1; for images Lee et al. 2022,
https://arxiv.org/abs/2203.01941). A position has as many tokens as there are quantizers, coarse
first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Generator, Tensor, nn

from zoo.nn.quantizers.quantized import Quantized, Quantizer
from zoo.nn.quantizers.vector import VectorQuantizer


class ResidualQuantizer(nn.Module):
    """A stack of quantizers of the same `dim`.

    layers: the quantizers, or one with `depth` to share its codebook among that many layers (a
        VectorQuantizer that learns by EMA then needs running_sums=True: its codebook moves after
        the last layer). dropout: in train mode stop after a layer drawn evenly from `keep`..depth,
        so that a prefix of the tokens also decodes. feedback: the share of a layer's gradient that
        reaches it through the layers after it, 0 in the paper.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module] | VectorQuantizer,
        depth: int | None = None,
        *,
        dropout: bool = False,
        keep: int = 1,
        feedback: float = 0.0,
    ) -> None:
        super().__init__()
        self.shared = isinstance(layers, VectorQuantizer)
        found: list[Any] = [layers] if isinstance(layers, VectorQuantizer) else list(layers)
        self.layers = nn.ModuleList(found)
        self.depth = depth if self.shared and depth is not None else len(found)
        dims = {layer.dim for layer in found}
        if len(dims) != 1:
            raise ValueError(
                f"residual layers must have one size of code, got {sorted(map(str, dims))}"
            )
        if depth is not None and depth != self.depth:
            raise ValueError(f"depth={depth}, but there are {len(found)} layers")
        if self.shared:
            found[0].hold = True
        self.dropout, self.keep, self.feedback = dropout, keep, feedback
        self.dim: int = found[0].dim
        self.codes: int = max(layer.codes for layer in found)

    def extra_repr(self) -> str:
        return f"depth={self.depth}, shared={self.shared}"

    def _layer(self, index: int) -> Quantizer:
        return cast(Quantizer, self.layers[0 if self.shared else index])

    def forward(self, z: Tensor, generator: Generator | None = None) -> Quantized:
        """Quantise (B, D, *space). tokens (B, *space, depth), -1 where dropped; losses are summed.

        metrics hold each layer's loss as "loss_0", ... and its numbers as "perplexity_0", ...
        """
        depth = self.depth
        if self.dropout and self.training:
            where = generator.device if generator is not None else None
            drawn = torch.randint(self.keep, depth + 1, (), generator=generator, device=where)
            depth = int(drawn)
        residual, total = z, torch.zeros_like(z)
        loss, tokens, metrics = z.new_zeros(()), [], dict[str, Tensor]()
        for index in range(depth):
            found = self._layer(index)(residual, generator)
            fixed = found.codes.detach()
            residual = residual - (fixed + self.feedback * (found.codes - fixed))
            total, loss = total + found.codes, loss + found.loss
            tokens.append(found.tokens)
            metrics[f"loss_{index}"] = found.loss.detach()
            metrics |= {f"{name}_{index}": value for name, value in found.metrics.items()}
        tokens += [torch.full_like(tokens[0], -1)] * (self.depth - depth)
        if self.shared and self.training:
            cast(VectorQuantizer, self.layers[0]).settle()
        return Quantized(total, torch.stack(tokens, dim=-1), loss, metrics)

    def tokens(self, z: Tensor) -> Tensor:
        """(B, D, *space) -> (B, *space, depth) int64."""
        tokens = []
        for index in range(self.depth):
            layer = self._layer(index)
            tokens.append(layer.tokens(z))
            z = z - layer.lookup(tokens[-1])
        return torch.stack(tokens, dim=-1)

    def lookup(self, tokens: Tensor) -> Tensor:
        """(B, *space, n) integer, n <= depth, -1 for "no code" -> (B, D, *space)."""
        return torch.stack(self.lookups(tokens)).sum(dim=0)

    def lookups(self, tokens: Tensor) -> list[Tensor]:
        """Each layer's share of the codes: as many tensors (B, D, *space) as tokens a position."""
        if tokens.shape[-1] > self.depth:
            raise ValueError(f"{tokens.shape[-1]} tokens a position, there are {self.depth} layers")
        shares = []
        for index, layer_tokens in enumerate(tokens.unbind(dim=-1)):
            codes = self._layer(index).lookup(layer_tokens.clamp_min(0))
            shares.append(codes.masked_fill((layer_tokens < 0)[:, None], 0))
        return shares
