"""The networks of variational autoencoders.

    flat     z ~ N(0, I),               x ~ p(x | z)                    q(z | x) = N(m(x), s(x)^2)
    ladder   z_1 ~ N(0, I), z_l ~ p(z_l | z_<l), x ~ p(x | z)           q(z_l | x, z_<l)

(Kingma & Welling, 2013, arXiv:1312.6114; Sonderby et al., 2016, arXiv:1602.02282.) Both speak of latents whose prior is
N(0, I): a ladder's are the noise e_l of z_l = a_l(z_<l) + b_l(z_<l) e_l, which moves the learned prior into the decoder
and leaves every KL as it was, since KL is invariant under that map. So bounds, sampling and interpolation are written
once, for (B, D) numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from torch import Tensor, nn

from zoo_vae import compact, likelihoods
from zoo_vae.gaussian import positive
from zoo_vae.ladder import Drawn, Ladder, chosen


class Vae(nn.Module):
    """A flat variational autoencoder.

    Args:
        image: (C, H, W).
        encoder: (images, labels or None) -> (B, 2 D), means and raw scales (`gaussian.positive`).
        decoder: (latents (B, D), labels or None) -> the numbers of `likelihood`.
        latents: D.
        likelihood: a `likelihoods.Likelihood`.
        classes: number of classes it can be conditioned on; label `classes` means any.

    With a likelihood of symbols it is a zoo.nn.coding.LatentVariable, so that pictures can be coded by it.
    """

    def __init__(
        self,
        image: Sequence[int],
        encoder: nn.Module,
        decoder: nn.Module,
        latents: int,
        likelihood: Any,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.image = tuple(image)
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.latents, self.classes = latents, classes
        self.density = ("lower bound", likelihood.over)  # for the card
        if likelihood.alphabet:
            self.alphabet, self.length = likelihood.alphabet, prod(image)

    def seen(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, ...]:
        """What `draw` needs of pictures (B, C, H, W), computed once however many latents are drawn."""
        mean, raw = self.encoder(images, labels).chunk(2, 1)
        return mean, positive(raw)

    def place(
        self, seen: tuple[Tensor, ...], labels: Tensor | None, noise: Tensor | None
    ) -> Tensor:
        """Latents m + s noise (noise (B, D); None: the mode m)."""
        mean, scale = seen
        return mean if noise is None else mean + scale * noise

    def draw(self, seen: tuple[Tensor, ...], labels: Tensor | None, noise: Tensor | None) -> Drawn:
        """Latents as `place` gives them, the posterior they are of, and p(x | z) there."""
        latents = self.place(seen, labels, noise)
        return Drawn(latents, seen[0], seen[1], self.decoder(latents, labels))

    def given(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """The numbers (B, numbers C, H, W) of p(x | z) for latents (B, D)."""
        out: Tensor = self.decoder(latents, labels)
        return out

    def labels(self, cond: Any, batch: int) -> Tensor | None:
        """Classes (batch,) int64 of a condition; see `ladder.chosen`."""
        return chosen(self, cond, batch)

    def symbols(self, images: Tensor) -> Tensor:
        out: Tensor = self.likelihood.symbols(images)
        return out

    def pictures(self, symbols: Tensor) -> Tensor:
        dtype = next(self.parameters()).dtype
        out: Tensor = self.likelihood.pictures(symbols).to(dtype)
        return out.view(-1, *self.image)

    def posterior(self, images: Tensor, cond: Any) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(z | x), each (B, D)."""
        mean, scale = self.seen(images, self.labels(cond, len(images)))
        return mean, scale

    def tables_given(self, latents: Tensor, cond: Any) -> Tensor:
        """Probabilities of every symbol of every pixel given latents (B, D): (B, T, K)."""
        given = self.given(latents, self.labels(cond, len(latents)))
        out: Tensor = self.likelihood.tables(given)
        return out


def vae(config: Mapping[str, Any]) -> Vae | Ladder:
    """The net of a configuration.

        image        [C, H, W]
        latents      [D]: flat; [D, c, ...]: a ladder, c channels of the coarsest grid at each further level
        likelihood   {kind = "bernoulli" | "gaussian" | "logistic", ...}
        encoder      {widths, blocks, narrow, hidden}, see `compact.Encoder`
        decoder      likewise
        classes      how many classes it can be conditioned on (0)

    Raises TypeError for an unknown or missing key, ValueError for an impossible value.
    """
    return _built(**config)


def _built(
    image: Sequence[int],
    latents: Sequence[int],
    likelihood: Mapping[str, Any],
    encoder: Mapping[str, Any],
    decoder: Mapping[str, Any],
    classes: int = 0,
) -> Vae | Ladder:
    density = likelihoods.likelihood(likelihood)
    outputs = density.numbers * image[0]
    look = compact.Encoder(image, latents[0], classes=classes, **encoder)
    paint = compact.Decoder(image, latents[0], outputs, classes=classes, **decoder)
    if len(latents) > 1:
        return Ladder(image, look, paint, latents, density, classes)
    return Vae(image, look, paint, latents[0], density, classes)
