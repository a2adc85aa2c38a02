"""The network of an autoencoder of continuous latents: images -> a Gaussian for each latent -> images.

    m, ln s^2 = quant_conv(encoder(images))        (B, D, h, w) each
    z         = m + s e,  e ~ N(0, I)              (B, D, h, w)
    images    = decoder(post_quant_conv(z))        (B, C, H, W), about [-1, 1]
    KL        = (m^2 + s^2 - 1 - ln s^2) / 2       nats a number

(Kingma and Welling, 2013, arXiv:1312.6114, appendix B; Rombach et al., 2021, arXiv:2112.10752.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from zoo import rng
from zoo_vq.net import DECODERS, ENCODERS, Missing

_LOW, _HIGH = -30.0, 20.0  # ln s^2 is held within, as CompVis and diffusers do


class Drawn(NamedTuple):
    """Latents and their means (B, D, h, w), the mean KL a number in nats (), and what to report of them."""

    latents: Tensor
    mean: Tensor
    loss: Tensor
    metrics: dict[str, Tensor]


class Autoencoder(nn.Module):
    """Encoder and decoder of D continuous channels.

    Args:
        encoder, quant_conv: (B, C, H, W) -> (B, 2 D, h, w), or (B, D, h, w) of a deterministic one.
        post_quant_conv, decoder: (B, D, h, w) -> (B, C, H, W).
        latent: D.
        channels: C.
        deterministic: whether there is no s.
        scale, shift: what makes latents of the training pictures about N(0, 1): (z - shift) * scale.
    """

    def __init__(
        self,
        encoder: nn.Module,
        quant_conv: nn.Module,
        post_quant_conv: nn.Module,
        decoder: nn.Module,
        *,
        latent: int,
        channels: int = 3,
        deterministic: bool = False,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder, self.quant_conv = encoder, quant_conv
        self.post_quant_conv, self.decoder = post_quant_conv, decoder
        self.latent, self.channels, self.deterministic = latent, channels, deterministic
        self.scale, self.shift = scale, shift

    def moments(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> (B, 2 D, h, w), m and ln s^2; of a deterministic one m alone, (B, D, h, w)."""
        out: Tensor = self.quant_conv(self.encoder(images))
        return out

    def drawn(self, moments: Tensor, generator: Generator | None) -> Tensor:
        """Latents (B, D, h, w) of `moments`: the mode, or with a generator a draw (the mode too where s = 0)."""
        if self.deterministic:
            return moments
        mean, logarithm = self._parts(moments)
        if generator is None:
            return mean
        noise = rng.normal(rng.streams(generator, len(mean)), *mean.shape[1:])
        return mean + (logarithm / 2).exp() * noise.to(mean)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, D, h, w) -> images (B, C, H, W), not clamped."""
        out: Tensor = self.decoder(self.post_quant_conv(latents))
        return out

    def forward(self, images: Tensor) -> tuple[Tensor, Drawn]:
        """One pass for training: the reconstruction and the draw that it was made from."""
        drawn = self._draw(self.moments(images))
        return self.decode(drawn.latents), drawn

    def redraw(self, images: Tensor) -> tuple[Tensor, Drawn]:
        """As `forward` for training the decoder alone: every latent's distribution stays as it is."""
        with torch.no_grad():
            drawn = self._draw(self.moments(images))
        return self.decode(drawn.latents), drawn

    def last_layer(self) -> Tensor:
        """The decoder's last weight, at which an adversarial loss is balanced."""
        return next(
            v for k, v in reversed(list(self.decoder.named_parameters())) if k.endswith("weight")
        )

    def _parts(self, moments: Tensor) -> tuple[Tensor, Tensor]:
        mean, logarithm = moments.chunk(2, 1)
        return mean, logarithm.clamp(_LOW, _HIGH)

    def _draw(self, moments: Tensor) -> Drawn:
        """A draw by torch's global generator (the trainer's), and what it costs; in evaluation the mode."""
        if self.deterministic:
            return Drawn(
                moments, moments, moments.new_zeros(()), {"deviation": moments.detach().std()}
            )
        mean, logarithm = self._parts(moments)
        cost = (mean.square() + logarithm.exp() - 1 - logarithm).mean() / 2
        noise = (logarithm / 2).exp() * torch.randn_like(mean) if self.training else 0
        told = {"kl": cost.detach(), "deviation": mean.detach().std()}
        return Drawn(mean + noise, mean, cost, told)


def autoencoder(config: Mapping[str, Any]) -> Autoencoder:
    """The net of a configuration.

        encoder, decoder    as a tokenizer's (`zoo_vq.net`), each with a `kind`; the decoder's `latent` is what it
                            takes; one of them may be None
        latent              D, channels of a latent
        quant_conv          whether a 1x1 convolution follows the encoder (true)
        post_quant_conv     whether one precedes the decoder (true)
        deterministic       whether there is no s (false)
        scale, shift        1 and 0; `python -m zoo_vq.autoencoder.scale` measures them

    Raises TypeError for an unknown or missing key, KeyError for an unknown kind, ValueError for widths that do not fit.
    """
    return _built(**config)


def _built(
    encoder: Mapping[str, Any] | None,
    decoder: Mapping[str, Any] | None,
    latent: int,
    quant_conv: bool = True,
    post_quant_conv: bool = True,
    deterministic: bool = False,
    scale: float = 1.0,
    shift: float = 0.0,
) -> Autoencoder:
    known = encoder or decoder
    if known is None:
        raise ValueError(
            "an autoencoder has an encoder, a decoder or both, and this config has none"
        )
    moments = latent if deterministic else 2 * latent
    halves: list[nn.Module] = [Missing("encoder"), nn.Identity(), nn.Identity(), Missing("decoder")]
    if encoder is not None:
        look = dict(encoder)
        features = look.get("latent") or look["widths"][-1]
        halves[0] = ENCODERS[look.pop("kind", "residual")](**look)
        if quant_conv:
            halves[1] = nn.Conv2d(features, moments, 1)
        else:
            _fits("the encoder gives", features, moments)
    if decoder is not None:
        paint = dict(decoder)
        halves[3] = DECODERS[paint.pop("kind", "residual")](**paint)
        if post_quant_conv:
            halves[2] = nn.Conv2d(latent, decoder["latent"], 1)
        else:
            _fits("the decoder takes", decoder["latent"], latent)
    return Autoencoder(
        *halves,
        latent=latent,
        channels=known["channels"],
        deterministic=deterministic,
        scale=scale,
        shift=shift,
    )


def _fits(what: str, given: int, wanted: int) -> None:
    if given != wanted:
        raise ValueError(
            f"{what} {given} channels, and without a convolution between it must be {wanted}"
        )
