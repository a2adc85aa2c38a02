"""Vector quantisation: each latent vector becomes the nearest of K learnt codes.

    token(z) = argmin_k |z - e_k|,   codes = z + sg(e_token - z)
    loss = commitment * |z - sg(e)|^2 + codebook_weight * |sg(z) - e|^2

(van den Oord et al. 2017, https://arxiv.org/abs/1711.00937). With learn="ema" the second term is
replaced by running averages of the vectors assigned to each code (appendix A.1 there):

    n_k <- d n_k + (1 - d) |{z: token = k}|,   s_k <- d s_k + (1 - d) sum of those z
    e_k = s_k / n^_k
    n^_k = (n_k + eps) / (N + K eps) N,   N = sum_k n_k

s_k is not stored unless asked for: s_k = e_k n^_k. cosine=True puts latents and codes on the unit
sphere (Yu et al. 2021, https://arxiv.org/abs/2110.04627). Codes that hardly any latent chose are
revived: moved onto latents of the present batch (Dhariwal et al. 2020,
https://arxiv.org/abs/2005.00341).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from zoo.nn.quantizers.entropy import entropies, perplexity
from zoo.nn.quantizers.nearest import nearest
from zoo.nn.quantizers.quantized import Quantized


class VectorQuantizer(nn.Module):
    """A codebook of `codes` vectors of size `dim`.

    learn: "ema" (running averages), "gradient" (an optimizer, by the loss) or "frozen".
    cosine: latents and codes on the unit sphere.
    commitment, codebook_weight: weights of the two terms of the loss; one_term: a single undetached
        term of weight `commitment` for both (as vector-quantize-pytorch's learnable codebook).
    entropy, temperature: weight of the entropy term (LlamaGen's) and its softmax temperature.
    decay, eps: of the running averages; running_sums: store s_k as a buffer of its own.
    warmup: training steps before the codebook is set by k-means of the batch; until then the
        latents pass unquantised, so that the encoder is worth copying. None: the codebook starts
        random.
    revive: codes whose running count is below this share of the mean count move onto latents of the
        batch; 0: never.
    gradient: "straight-through", or "rotation" (Fifty et al. 2024,
        https://arxiv.org/abs/2410.06424).
    State: codebook (K, D), usage (K,) running counts, seen () training steps so far, and sums
        (K, D) if they are kept.
    """

    def __init__(
        self,
        codes: int,
        dim: int,
        *,
        learn: Literal["ema", "gradient", "frozen"] = "ema",
        cosine: bool = False,
        commitment: float = 0.25,
        codebook_weight: float = 1.0,
        one_term: bool = False,
        entropy: float = 0.0,
        temperature: float = 0.01,
        decay: float = 0.99,
        eps: float = 1e-5,
        running_sums: bool = False,
        warmup: int | None = None,
        revive: float = 0.0,
        gradient: Literal["straight-through", "rotation"] = "straight-through",
    ) -> None:
        super().__init__()
        if learn not in ("ema", "gradient", "frozen"):
            raise ValueError(
                f"learn={learn!r}: a codebook learns by 'ema', 'gradient' or is 'frozen'"
            )
        if gradient not in ("straight-through", "rotation"):
            raise ValueError(f"gradient={gradient!r}: there are 'straight-through' and 'rotation'")
        self.codes, self.dim = codes, dim
        self.learn, self.cosine, self.gradient = learn, cosine, gradient
        self.commitment, self.codebook_weight, self.one_term = commitment, codebook_weight, one_term
        self.entropy, self.temperature = entropy, temperature
        self.decay, self.eps, self.warmup, self.revive = decay, eps, warmup, revive
        start = torch.randn(codes, dim).mul_(dim**-0.5)
        if cosine and not start.is_meta:
            start = F.normalize(start, dim=-1)
        self.codebook: Tensor
        if learn == "gradient":
            self.codebook = nn.Parameter(start)
        else:
            self.register_buffer("codebook", start)
        self.usage: Tensor
        self.seen: Tensor
        self.sums: Tensor | None
        self.register_buffer("usage", torch.ones(codes))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("sums", start.clone() if running_sums else None)
        self.hold = (
            False  # collect counts and sums, and move the codebook only when settle() is called
        )

    def extra_repr(self) -> str:
        return f"{self.codes} codes of {self.dim}, learn={self.learn}, cosine={self.cosine}"

    # -- inference ---------------------------------------------------------------------------

    def tokens(self, z: Tensor) -> Tensor:
        """Latents to tokens. (B, D, *space) -> (B, *space) int64."""
        flat = self._vectors(z)
        return nearest(flat, self._codebook()).view(z.shape[0], *z.shape[2:])

    def lookup(self, tokens: Tensor) -> Tensor:
        """(B, *space) integer -> codes (B, D, *space). Raises IndexError outside 0..codes-1."""
        return F.embedding(tokens, self._codebook()).movedim(-1, 1)

    def _codebook(self) -> Tensor:
        return F.normalize(self.codebook, dim=-1) if self.cosine else self.codebook

    def _vectors(self, z: Tensor) -> Tensor:
        """(B, D, *space) -> (N, D), on the sphere if cosine, float32 or float64."""
        if z.ndim < 2 or z.shape[1] != self.dim:
            raise ValueError(
                f"latents of shape {tuple(z.shape)}: the codebook has codes of {self.dim}, "
                f"so latents are (B, {self.dim}, *space)"
            )
        flat = z.movedim(1, -1).reshape(-1, self.dim)
        flat = flat if flat.dtype == torch.float64 else flat.float()
        return F.normalize(flat, dim=-1) if self.cosine else flat

    # -- training ----------------------------------------------------------------------------

    def forward(self, z: Tensor, generator: Generator | None = None) -> Quantized:
        """Quantise latents (B, D, *space); in train mode also update usage and an EMA codebook.

        generator: draws the latents that start or revive codes.
        """
        with torch.autocast(z.device.type, enabled=False):
            return self._quantize(z, generator)

    def _quantize(self, z: Tensor, generator: Generator | None) -> Quantized:
        flat = self._vectors(z)  # (N, D)
        waiting = False
        if self.training:
            waiting = self._prepare(flat.detach(), generator)
        codebook = self._codebook()
        tokens = nearest(flat, codebook)  # (N,)
        quantized = F.embedding(tokens, codebook)  # (N, D)
        distance = F.mse_loss(flat, quantized.detach())
        if waiting:
            loss = flat.new_zeros(())
        elif self.one_term:
            loss = self.commitment * F.mse_loss(flat, quantized)
        else:
            loss = self.commitment * distance
            if self.learn == "gradient":
                loss = loss + self.codebook_weight * F.mse_loss(quantized, flat.detach())
        metrics = {"commitment": distance.detach()}
        if self.entropy and not waiting:
            affinity = -torch.cdist(flat, codebook).square()  # (N, K)
            sure, spread = entropies(affinity / self.temperature)
            loss = loss + self.entropy * (sure - spread)
            metrics |= {"sample_entropy": sure.detach(), "batch_entropy": spread.detach()}
        counts = torch.bincount(tokens, minlength=self.codes).to(flat.dtype)  # (K,)
        if self.training and not waiting:
            self._learn(flat.detach(), tokens, counts)
        metrics |= {"perplexity": perplexity(counts), "used": (counts > 0).float().mean()}
        out = flat if waiting else self._through(flat, quantized)
        space = z.shape[2:]
        out = out.view(z.shape[0], *space, self.dim).movedim(-1, 1).to(z.dtype)
        return Quantized(out, tokens.view(z.shape[0], *space), loss, metrics)

    def _through(self, z: Tensor, quantized: Tensor) -> Tensor:
        if not torch.is_grad_enabled() or not z.requires_grad:
            return quantized
        if self.gradient == "rotation":
            return rotate(z, quantized)
        return z + (quantized - z).detach()

    @torch.no_grad()
    def _prepare(self, z: Tensor, generator: Generator | None) -> bool:
        """Count the step, set or revive codes. True while the warm-up lasts."""
        self.seen += 1
        if self.warmup is not None and (seen := int(self.seen)) <= self.warmup + 1:
            if seen <= self.warmup:
                return True
            self.set_codes(
                torch.arange(self.codes, device=z.device), kmeans(z, self.codes, generator)
            )
        elif self.revive:
            total = self.usage.sum()
            dead = (self.usage < self.revive * total / self.codes).nonzero().squeeze(1)
            if len(dead):
                self.set_codes(dead, draw(z, len(dead), generator))
        return False

    @torch.no_grad()
    def set_codes(self, which: Tensor, vectors: Tensor) -> None:
        """Put vectors (M, D) at the indices `which` (M,), with the mean count, on every process."""
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            vectors = vectors.contiguous()
            dist.broadcast(vectors, src=0)
        self.codebook.data[which] = vectors.to(self.codebook.dtype)
        self.usage[which] = self.usage.mean().clamp_min(self.eps)
        if self.sums is not None:
            self.sums[which] = vectors.to(self.sums.dtype) * self.usage[which, None]

    @torch.no_grad()
    def _learn(self, z: Tensor, tokens: Tensor, counts: Tensor) -> None:
        """Running counts, and with learn="ema" the running averages, of one batch (N, D)."""
        ema = self.learn == "ema"
        if not ema and not self.revive:
            return
        sums = None
        if ema:
            sums = z.new_zeros(self.codes, self.dim).index_add_(0, tokens, z)
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            counts = counts.clone()
            dist.all_reduce(counts)
            if sums is not None:
                dist.all_reduce(sums)
        if sums is not None:
            before = self.codebook * self._smoothed()[:, None] if self.sums is None else self.sums
            sums = before.lerp(sums.to(before.dtype), 1 - self.decay)
        self.usage.lerp_(counts.to(self.usage.dtype), 1 - self.decay)
        if self.sums is not None and sums is not None:
            self.sums.copy_(sums)
        if sums is not None and not self.hold:
            self._move(sums)

    def settle(self) -> None:
        """Move an EMA codebook that was held back onto its averages (see ResidualQuantizer)."""
        if self.learn == "ema":
            if self.sums is None:
                raise ValueError("a codebook can only be held back with running_sums=True")
            self._move(self.sums)

    @torch.no_grad()
    def _move(self, sums: Tensor) -> None:
        codebook = sums / self._smoothed()[:, None]
        self.codebook.copy_(F.normalize(codebook, dim=-1) if self.cosine else codebook)

    def _smoothed(self) -> Tensor:
        total = self.usage.sum()
        return (self.usage + self.eps) / (total + self.codes * self.eps) * total


def draw(z: Tensor, count: int, generator: Generator | None) -> Tensor:
    """`count` rows of z (N, D): without repetition if there are enough, else with."""
    device = generator.device if generator is not None else z.device
    if len(z) >= count:
        rows = torch.randperm(len(z), generator=generator, device=device)[:count]
    else:
        rows = torch.randint(len(z), (count,), generator=generator, device=device)
    return z[rows.to(z.device)]


def kmeans(z: Tensor, codes: int, generator: Generator | None, rounds: int = 5) -> Tensor:
    """Lloyd's algorithm from random rows, (N, D) -> (codes, D); empty clusters stay put."""
    centres = draw(z, codes, generator).clone()
    for _ in range(rounds if len(z) > codes else 0):
        tokens = nearest(z, centres)
        counts = torch.bincount(tokens, minlength=codes).to(z.dtype)[:, None]
        means = torch.zeros_like(centres).index_add_(0, tokens, z) / counts.clamp_min(1)
        centres = torch.where(counts > 0, means, centres)
    return centres


def rotate(z: Tensor, quantized: Tensor, eps: float = 1e-6) -> Tensor:
    """Quantized (N, D); its gradient reaches z by the rotation and scaling of z to quantized."""
    length, target = z.norm(dim=-1, keepdim=True), quantized.norm(dim=-1, keepdim=True)
    u = (z / length.clamp_min(eps)).detach()
    q = (quantized / target.clamp_min(eps)).detach()
    w = F.normalize(u + q, dim=-1, eps=eps)
    turned = z - 2 * (z * w).sum(-1, keepdim=True) * w + 2 * (z * u).sum(-1, keepdim=True) * q
    out: Tensor = turned * (target / length.clamp_min(eps)).detach()
    return out
