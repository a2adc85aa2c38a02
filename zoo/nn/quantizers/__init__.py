"""Quantizers: continuous latents (B, D, h, w) to integer tokens (B, h, w) and back.

Every one is called `quantizer(z, generator=None) -> Quantized(codes, tokens, loss, metrics)` and has
`.tokens(z)`, `.lookup(tokens)`, `.codes` (how many) and `.dim` (channels of z).
"""

from zoo.nn.quantizers.vector import Quantized, VectorQuantizer

__all__ = ["Quantized", "VectorQuantizer"]
