"""The net of a GAN as the zoo keeps it: the generator, and what a latent is.

    x = G(z, y),   z ~ N(0, I_D),   y a label 0 .. K - 1, if the model has classes

A model without classes has latents (B, D). A class-conditional one has latents (B, D + 1): the first number c chooses
the label where none is asked for,

    y = floor(K Phi(c)),   Phi the standard normal distribution function,

so that c ~ N(0, 1) gives each label with probability 1 / K, and N(0, I_{D+1}) is the model's whole distribution.
With `condition(label=...)` that number is not looked at. The discriminator is no part of the net: it lives in the
run that trains it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo_gan.generators import GENERATORS


class Gan(nn.Module):
    """A generator by its kind ("residual", "dcgan"), latents (B, D) or (B, D + 1) -> (B, C, H, W) in (-1, 1).

    Args:
        kind: which generator, of `zoo_gan.generators.GENERATORS`.
        latent: D.
        classes: K; 0 for a model without labels.
        embedding: numbers a label is told to the generator by.
        channels: of the pictures.
        widths: channels at each resolution; the first is `start` pixels a side, each next one twice as many.
        start: pixels a side of the first map.
        norm: "batch" or "instance".
        inversion_steps: that `encode` takes where no other number was asked for.
    """

    def __init__(
        self,
        kind: str = "residual",
        latent: int = 128,
        classes: int = 0,
        embedding: int = 32,
        channels: int = 3,
        widths: Sequence[int] = (256, 128, 64, 32),
        start: int = 4,
        norm: str = "batch",
        inversion_steps: int = 200,
    ) -> None:
        super().__init__()
        self.inversion_steps = inversion_steps
        self.dim, self.classes, self.channels = latent, classes, channels
        self.side = start * 2 ** (len(widths) - 1)
        self.embedding = nn.Embedding(classes, embedding) if classes else None
        code = latent + (embedding if classes else 0)
        self.generator: nn.Module = GENERATORS[kind](code, channels, tuple(widths), start, norm)

    @property
    def latent(self) -> tuple[int]:
        """The shape of one latent: (D,), or (D + 1,) with classes."""
        return (self.dim + bool(self.classes),)

    def labels(self, latents: Tensor) -> Tensor:
        """The labels (B,) int64 that the first numbers of latents (B, D + 1) choose."""
        place = torch.special.ndtr(latents[:, 0].double())
        out: Tensor = (place * self.classes).long().clamp(max=self.classes - 1)
        return out

    def coordinate(self, labels: Tensor) -> Tensor:
        """The middle number (B,) float64 of those that choose `labels` (B,)."""
        out: Tensor = torch.special.ndtri((labels.double() + 0.5) / self.classes)
        return out

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pictures of latents (B, *Z); `labels` (B,) int64 instead of those that the latents choose."""
        code = latents
        if self.embedding is not None:
            labels = self.labels(latents) if labels is None else labels
            code = torch.cat([latents[:, 1:], self.embedding(labels)], 1)
        out: Tensor = self.generator(code)
        return out
