"""Gumbel-softmax quantisation: a relaxed draw of a code, from logits the encoder gives.

    y = softmax((l + g) / temperature),  g = -log(-log u),  u ~ U(0, 1)
    codes = sum_k y_k e_k,   loss = kl_weight * E[sum_k q_k log(q_k K)],  q = softmax(l)

(Jang et al. 2016, https://arxiv.org/abs/1611.01144; Ramesh et al. 2021,
https://arxiv.org/abs/2102.12092). The loss is KL(q || uniform). hard=True rounds y to a one-hot
vector forwards and keeps its gradient.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from zoo.nn.quantizers.entropy import perplexity
from zoo.nn.quantizers.quantized import Quantized


class GumbelQuantizer(nn.Module):
    """A codebook of `codes` vectors of size `width`, chosen by logits.

    width None: codes are the (relaxed) one-hot vectors themselves, for a decoder that begins with a
        matrix of its own; there is no codebook then.
    dim: channels of z, turned into logits by a 1x1 convolution `proj`; None: z are the logits,
        (B, codes, *space). temperature, hard: of the relaxation in train mode. kl_weight: of the
        loss.
    State: codebook (K, width), proj.weight and proj.bias if there is a projection.
    """

    def __init__(
        self,
        codes: int,
        width: int | None,
        *,
        dim: int | None = None,
        temperature: float = 1.0,
        hard: bool = True,
        kl_weight: float = 5e-4,
    ) -> None:
        super().__init__()
        self.codes, self.dim = codes, codes if dim is None else dim
        self.width = codes if width is None else width
        self.temperature, self.hard, self.kl_weight = temperature, hard, kl_weight
        self.proj = nn.Identity() if dim is None else nn.Conv2d(dim, codes, 1)
        self.codebook = None if width is None else nn.Parameter(torch.randn(codes, width))

    def extra_repr(self) -> str:
        return f"{self.codes} codes of {self.width}, hard={self.hard}, kl_weight={self.kl_weight}"

    def logits(self, z: Tensor) -> Tensor:
        """(B, dim, *space) -> (B, codes, *space)."""
        if z.ndim < 2 or z.shape[1] != self.dim:
            raise ValueError(f"latents of shape {tuple(z.shape)}, expected (B, {self.dim}, *space)")
        logits: Tensor = self.proj(z)
        return logits

    def tokens(self, z: Tensor) -> Tensor:
        """The likeliest code. (B, dim, *space) -> (B, *space) int64."""
        return self.logits(z).argmax(dim=1)

    def lookup(self, tokens: Tensor) -> Tensor:
        """(B, *space) integer in 0..codes-1 -> (B, width, *space)."""
        if self.codebook is None:
            dtype = torch.get_default_dtype()
            return F.one_hot(tokens.long(), self.codes).movedim(-1, 1).to(dtype)
        return F.embedding(tokens, self.codebook).movedim(-1, 1)

    def mix(self, y: Tensor) -> Tensor:
        """The mean code under weights y. (B, codes, *space) -> (B, width, *space)."""
        return y if self.codebook is None else torch.einsum("bk...,kd->bd...", y, self.codebook)

    def forward(
        self, z: Tensor, generator: Generator | None = None, *, noise: Tensor | None = None
    ) -> Quantized:
        """Draw codes for z (B, dim, *space).

        Noise is drawn from `generator` in train mode; in evaluation the likeliest code is taken. A
        `noise` (B, codes, *space) of Gumbel draws is used in either mode, hard in evaluation.
        """
        logits = self.logits(z)
        if noise is None and self.training:
            noise = gumbel_like(logits, generator)
        q = logits.softmax(dim=1)
        kl = torch.sum(q * torch.log(q * self.codes + 1e-10), dim=1).mean()
        noisy = logits if noise is None else logits + noise
        y = relaxed(noisy, self.temperature, self.hard or not self.training)
        tokens = noisy.argmax(dim=1)
        codes = self.mix(y)
        counts = torch.bincount(tokens.flatten(), minlength=self.codes).float()
        metrics = {"kl": kl.detach(), "perplexity": perplexity(counts)}
        metrics["used"] = (counts > 0).float().mean()
        return Quantized(codes, tokens, self.kl_weight * kl, metrics)


def gumbel_like(logits: Tensor, generator: Generator | None) -> Tensor:
    """Gumbel noise of a tensor's shape, type and device, drawn on the generator's device."""
    device = generator.device if generator is not None else logits.device
    exponential = torch.empty(logits.shape, dtype=torch.float32, device=device)
    return -exponential.exponential_(generator=generator).log().to(logits)


def relaxed(logits: Tensor, temperature: float, hard: bool) -> Tensor:
    """softmax(logits / temperature) over axis 1, as a one-hot vector with that gradient if hard."""
    y = (logits / temperature).softmax(dim=1)
    if not hard:
        return y
    one = torch.zeros_like(y).scatter_(1, y.argmax(dim=1, keepdim=True), 1.0)
    return one + y - y.detach() if y.requires_grad else one


def kl_to_uniform(logits: Tensor) -> Tensor:
    """KL(softmax(logits) || uniform) at each position, in nats. (B, K, *space) -> (B, *space)."""
    log_q = logits.log_softmax(dim=1)
    return (log_q.exp() * log_q).sum(dim=1) + math.log(logits.shape[1])
