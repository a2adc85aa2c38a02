"""A log-probability with its unit and its meaning.

Nats are what the mathematics gives, bits a dimension what papers report: bits = -nats / (dimensions
ln 2). For a density over [-1, 1] in place of a probability of 8-bit pixels, the width 1/127.5 of a
grey level is added: log2(127.5), so that the uniform density is 8 bits (Theis et al., 2016,
https://arxiv.org/abs/1511.01844).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, log2

from torch import Tensor


@dataclass(frozen=True)
class LogProb:
    """What `Model.log_prob` gives.

    nats        (B,) natural logarithm of the probability (or density) of each image
    kind        "exact", "lower bound" or "estimate"
    over        "8-bit pixels", "binary pixels", "continuous pixels", "tokens" or "latents"
    dimensions  numbers in one image (C * H * W), or its tokens or latents
    """

    nats: Tensor
    kind: str
    over: str
    dimensions: int

    @property
    def bits_per_dim(self) -> Tensor:
        """(B,) bits for one dimension; fewer is better.

        Of a lower bound of the probability: an upper bound.
        """
        level = log2(127.5) if self.over == "continuous pixels" else 0.0
        return -self.nats / (self.dimensions * log(2)) + level

    def __repr__(self) -> str:
        bits = self.bits_per_dim
        return (
            f"LogProb({len(bits)} images: {float(self.nats.mean()):.2f} nats, "
            f"{float(bits.mean()):.3f} bits/dim on average, {self.kind}, over {self.over})"
        )
