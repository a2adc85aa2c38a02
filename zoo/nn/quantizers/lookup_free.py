"""Lookup-free quantisation: the code of a latent vector is the sign of each channel.

    code_i = scale if z_i > 0 else -scale,   token = sum_i [z_i > 0] 2^(place of i)
    loss = entropy (E_z H[p(c | z)] - gamma H[E_z p(c | z)]) + commitment |z - sg(code)|^2
    p(c | z) = softmax_c(2 <z, c> / temperature) = prod_i sigmoid(4 z_i c_i / temperature)

(Yu et al. 2023, https://arxiv.org/abs/2310.05737). 2^bits codes, none stored. The second form gives
the first entropy as a sum over channels; the second entropy needs the joint distribution, taken
over groups of channels where 2^bits is too many (Zhao et al. 2024,
https://arxiv.org/abs/2406.07548). With spherical=True latents and codes have length `scale` (the
same paper).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from zoo.nn.quantizers.entropy import Floor, entropies, perplexity
from zoo.nn.quantizers.quantized import Quantized


class LookupFreeQuantizer(nn.Module):
    """bits: channels of the latents; 2^bits codes (at most 62).

    first: whether the first channel is the "most" significant bit of a token
        (vector-quantize-pytorch) or the "least" (Open-MAGVIT2). A latent of exactly 0 counts as
        negative.
    entropy, gamma, commitment: weights of the loss; temperature of the softmax.
    group: how many channels the batch entropy looks at together (it needs N x 2^group numbers);
        None: all of them. clamp: squash latents into (-clamp, clamp) by tanh first.
    No state.
    """

    def __init__(
        self,
        bits: int,
        *,
        first: Literal["most", "least"] = "least",
        scale: float = 1.0,
        spherical: bool = False,
        entropy: float = 0.1,
        gamma: float = 1.0,
        commitment: float = 0.25,
        temperature: float = 0.01,
        floor: Floor = "add",
        group: int | None = None,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= bits <= 62:
            raise ValueError(f"bits={bits}: between 1 and 62")
        if first not in ("most", "least"):
            raise ValueError(
                f"first={first!r}: the first channel is the 'most' or the 'least' significant bit"
            )
        if clamp is not None and clamp < scale:
            raise ValueError(f"clamp={clamp} must reach the codes' scale {scale}")
        self.dim, self.codes = bits, 1 << bits
        self.first, self.scale, self.spherical = first, scale, spherical
        self.entropy, self.gamma, self.commitment = entropy, gamma, commitment
        self.temperature, self.clamp, self.group = temperature, clamp, group
        self.floor: Floor = floor

    def extra_repr(self) -> str:
        return f"{self.dim} bits, first={self.first}, spherical={self.spherical}"

    def forward(self, z: Tensor, generator: Generator | None = None) -> Quantized:
        """Quantise latents (B, D, *space); the loss is taken in train mode only."""
        with torch.autocast(z.device.type, enabled=False):
            z, given = self._prepared(z), z.dtype  # (B, *space, D)
            signs = torch.where(z > 0, self.scale, -self.scale).to(z.dtype)
            tokens = self._index(signs)
            quantized = self._sphere(signs)
            loss, metrics = z.new_zeros(()), dict[str, Tensor]()
            distance = F.mse_loss(z, quantized)
            metrics["commitment"] = distance.detach()
            if self.training:
                if self.commitment:
                    loss = self.commitment * distance
                if self.entropy:
                    sure, spread = self.entropies(z.reshape(-1, self.dim))
                    loss = loss + self.entropy * (sure - self.gamma * spread)
                    metrics |= {"sample_entropy": sure.detach(), "batch_entropy": spread.detach()}
            if self.dim <= 20:
                counts = torch.bincount(tokens.flatten(), minlength=self.codes).float()
                metrics |= {"perplexity": perplexity(counts), "used": (counts > 0).float().mean()}
            codes = z + (quantized - z).detach() if z.requires_grad else quantized
            return Quantized(codes.movedim(-1, 1).to(given), tokens, loss, metrics)

    def tokens(self, z: Tensor) -> Tensor:
        """(B, D, *space) -> (B, *space) int64."""
        self._check(z)
        return self._index(z.movedim(1, -1))

    def lookup(self, tokens: Tensor) -> Tensor:
        """(B, *space) integer in 0..codes-1 -> (B, D, *space) float32."""
        return self._sphere(self._signs(tokens, self._places(self.dim, tokens.device))).movedim(
            -1, 1
        )

    def entropies(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean entropy of p(c | z), and entropy of its mean, over rows z (N, D), in nats."""
        width = self.group or self.dim
        sample, batch = z.new_zeros(()), z.new_zeros(())
        # a spherical code's length is shared among all channels, also when a group is looked at
        scale = self.dim**-0.5 if self.spherical else 1.0
        for part in torch.split(z, width, dim=-1):
            places = self._places(part.shape[-1], z.device)
            signs = self._signs(torch.arange(1 << part.shape[-1], device=z.device), places)
            affinity = 2 * (part @ (scale * signs.to(z)).T)  # divided last: less rounding
            one, mean = entropies(affinity / self.temperature, self.floor)
            sample, batch = sample + one, batch + mean
        return sample, batch

    def _check(self, z: Tensor) -> None:
        if z.ndim < 2 or z.shape[1] != self.dim:
            raise ValueError(
                f"latents of shape {tuple(z.shape)}: {self.dim} bits need (B, {self.dim}, *space)"
            )

    def _prepared(self, z: Tensor) -> Tensor:
        self._check(z)
        z = z.movedim(1, -1)
        z = z if z.dtype == torch.float64 else z.float()
        if self.clamp is not None:
            z = torch.tanh(z / self.clamp) * self.clamp
        return self._sphere(z)

    def _sphere(self, z: Tensor) -> Tensor:
        return F.normalize(z, dim=-1) * self.scale if self.spherical else z

    def _places(self, bits: int, device: torch.device) -> Tensor:
        places = torch.arange(bits, device=device)
        return places.flip(0) if self.first == "most" else places

    def _index(self, z: Tensor) -> Tensor:
        return ((z > 0).to(torch.int64) << self._places(self.dim, z.device)).sum(dim=-1)

    def _signs(self, tokens: Tensor, places: Tensor) -> Tensor:
        return (((tokens[..., None] >> places) & 1) * 2 - 1) * self.scale
