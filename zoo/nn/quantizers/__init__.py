"""Quantizers: continuous latents (B, D, h, w) to integer tokens (B, h, w) and back.

Every one is called `quantizer(z, generator=None) -> Quantized(codes, tokens, loss, metrics)` and
has `.tokens(z)`, `.lookup(tokens)`, `.codes` (how many) and `.dim` (channels of z).
"""

from zoo.nn.quantizers.finite_scalar import FiniteScalarQuantizer
from zoo.nn.quantizers.gumbel import GumbelQuantizer
from zoo.nn.quantizers.lookup_free import LookupFreeQuantizer
from zoo.nn.quantizers.nearest import nearest
from zoo.nn.quantizers.quantized import Quantized, Quantizer
from zoo.nn.quantizers.residual import ResidualQuantizer
from zoo.nn.quantizers.vector import VectorQuantizer

__all__ = [
    "FiniteScalarQuantizer",
    "GumbelQuantizer",
    "LookupFreeQuantizer",
    "Quantized",
    "Quantizer",
    "ResidualQuantizer",
    "VectorQuantizer",
    "nearest",
]
