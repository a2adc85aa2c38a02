"""A hierarchical variational autoencoder: levels of latents, each seeing those above it.

    h_1 = start(z_1)
    p(z_l | z_<l) = N(a_l(h), b_l(h)^2),   z_l = a_l + b_l e_l,   h <- block(h + w_l z_l)
    q(e_l | x, z_<l) = N(m_l(h, f(x)), s_l(h, f(x))^2)

The latents are the noises e: under the prior they are N(0, I), and KL(q(z_l) || p(z_l)) = KL(q(e_l) || N(0, I)), as KL
does not change under an invertible map. Bottom-up features f(x), top-down h, both used by q: Sonderby et al., 2016,
arXiv:1602.02282; q relative to p: Vahdat & Kautz, 2020, arXiv:2007.03898, section 3.2. The first level is a vector, the
others maps on the coarsest grid. q is no product over all latents given x alone, so this net cannot drive bits-back
coding of zoo.nn.coding and does not offer it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_vae.compact import Block, Decoder, Encoder
from zoo_vae.gaussian import positive


class Drawn(NamedTuple):
    """Latents of pictures and what is needed to weigh them."""

    latents: Tensor  # (B, D)
    mean: Tensor  # (B, D) of q
    scale: Tensor  # (B, D) of q
    given: Tensor  # (B, numbers C, H, W), the decoder's numbers of p(x | z)


def chosen(net: Any, cond: Any, batch: int) -> Tensor | None:
    """Classes (batch,) int64 of a condition; `net.classes`, "any", without one; None if the net has none."""
    if not net.classes:
        return None
    if cond is not None and cond.labels is not None:
        found: Tensor = cond.labels
        return found
    device = next(net.parameters()).device
    return torch.full((batch,), net.classes, dtype=torch.int64, device=device)


class Rung(nn.Module):
    """One level below the first: its prior and its posterior given the features above it."""

    def __init__(self, width: int, seen: int, latents: int) -> None:
        super().__init__()
        self.prior = nn.Conv2d(width, 2 * latents, 1)
        self.posterior = nn.Conv2d(width + seen, 2 * latents, 3, padding=1)
        self.back = nn.Conv2d(latents, width, 1)
        self.block = Block(width)

    def relative(self, h: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of q(e_l), each (B, c, h, w)."""
        mean, raw = self.posterior(F.silu(torch.cat([h, features], 1))).chunk(2, 1)
        return mean, positive(raw)

    def down(self, h: Tensor, noise: Tensor) -> Tensor:
        """Features with level l = a + b noise put in; all (B, ., h, w)."""
        mean, raw = self.prior(F.silu(h)).chunk(2, 1)
        out: Tensor = self.block(h + self.back(mean + positive(raw) * noise))
        return out


class Ladder(nn.Module):
    """A ladder of `latents` (D, c, ...): D numbers first, then c channels of the coarsest grid each."""

    def __init__(
        self,
        image: Sequence[int],
        encoder: Encoder,
        decoder: Decoder,
        latents: Sequence[int],
        likelihood: Any,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if encoder.grid != decoder.grid:
            raise ValueError("a ladder's encoder and decoder must have as many widths")
        self.image, self.classes = tuple(image), classes
        self.density = ("lower bound", likelihood.over)  # for the card
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.shapes = [(each, *encoder.grid) for each in latents[1:]]
        self.rungs = nn.ModuleList(Rung(decoder.width, encoder.width, each) for each in latents[1:])
        self.sizes = [latents[0], *(prod(each) for each in self.shapes)]
        self.latents = sum(self.sizes)

    def seen(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, ...]:
        """As `Vae.seen`: mean and deviation of the first level, and the features for the others."""
        features = self.encoder.features(images, labels)
        mean, raw = self.encoder.numbers(features).chunk(2, 1)
        return mean, positive(raw), features

    def place(
        self, seen: tuple[Tensor, ...], labels: Tensor | None, noise: Tensor | None
    ) -> Tensor:
        """As `Vae.place`; the mode is that of each level given the modes above it."""
        return self._descend(seen, labels, noise)[0]

    def draw(self, seen: tuple[Tensor, ...], labels: Tensor | None, noise: Tensor | None) -> Drawn:
        """As `Vae.draw`."""
        latents, mean, scale, h = self._descend(seen, labels, noise)
        return Drawn(latents, mean, scale, self.decoder.painter(h))

    def _descend(
        self, seen: tuple[Tensor, ...], labels: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents, mean and deviation (B, D) each, and the last features."""
        mean, scale, features = seen
        means, scales, latents = [mean], [scale], [mean]
        parts = [None] * len(self.sizes) if noise is None else self._levels(noise)
        if parts[0] is not None:
            latents = [mean + scale * parts[0]]
        h = self.decoder.start(latents[0], labels)
        rung: Any
        for rung, shape, part in zip(self.rungs, self.shapes, parts[1:], strict=True):
            mean, scale = rung.relative(h, features)
            each = mean if part is None else mean + scale * part.view(-1, *shape)
            h = rung.down(h, each)
            means.append(mean.flatten(1))
            scales.append(scale.flatten(1))
            latents.append(each.flatten(1))
        return torch.cat(latents, 1), torch.cat(means, 1), torch.cat(scales, 1), h

    def given(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """As `Vae.given`: noises e (B, D) of all levels, first level first."""
        first, *parts = self._levels(latents)
        h = self.decoder.start(first, labels)
        rung: Any
        for rung, shape, part in zip(self.rungs, self.shapes, parts, strict=True):
            h = rung.down(h, part.view(-1, *shape))
        out: Tensor = self.decoder.painter(h)
        return out

    def _levels(self, flat: Tensor) -> list[Any]:
        """(B, D) to one (B, .) a level."""
        return list(torch.split(flat, self.sizes, 1))

    def labels(self, cond: Any, batch: int) -> Tensor | None:
        """Classes (batch,) int64 of a condition; see `chosen`."""
        return chosen(self, cond, batch)
