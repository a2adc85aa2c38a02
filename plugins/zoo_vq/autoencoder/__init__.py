"""The family `autoencoder`: a picture is a small map of continuous numbers, and back.

    q(z | x) = N(m(x), s(x)^2),    x^ = D(z)

The KL-regularised first stage of latent diffusion (Rombach et al., 2021, arXiv:2112.10752, appendix G), and small
deterministic ones that stand in for it (TAESD), where s = 0. Its decoder gives a picture, not a distribution, so there
is no log_prob, and no prior that could be sampled: a family that has one (`ldm`) takes this model as a part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import hookimpl

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from zoo.adoption import Adoption
    from zoo.train.objective import Objective
    from zoo_vq.autoencoder.net import Autoencoder


@hookimpl
def build(config: Mapping[str, Any]) -> Autoencoder:
    """The net of the card's config; see `zoo_vq.autoencoder.net.autoencoder`."""
    from zoo_vq.autoencoder.net import autoencoder

    return autoencoder(config)


@hookimpl
def encode(net: Autoencoder, images: Tensor, generator: Generator | None) -> Tensor:
    """Pictures (B, C, H, W) in [-1, 1] to latents (B, D, H / f, W / f): the mode m(x), or a draw of q(z | x).

    As the encoder gives them: a latent diffusion sees (z - shift) * scale, both in the card's config.
    """
    from zoo.nn import tiles

    return net.drawn(tiles.encode(net.moments, images), generator)


@hookimpl
def decode(net: Autoencoder, latents: Tensor) -> Tensor:
    """Latents (B, D, h, w), as `encode` gives them, to pictures (B, C, f h, f w), clamped to [-1, 1]."""
    from zoo.nn import tiles

    return tiles.decode(lambda z: net.decode(z).clamp(-1, 1), latents)


@hookimpl
def objectives(net: Autoencoder, recipe: Mapping[str, Any]) -> Sequence[Objective]:
    """As a tokenizer's, with KL(q(z | x) || N(0, I)) for the quantizer's loss: `zoo_vq.training.Weights`."""
    from zoo_vq import training

    return training.objectives(net, recipe)


@hookimpl
def adopt(keys: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None) -> Adoption | None:
    """Whether these keys are those of a published AutoencoderKL or of TAESD, and how they become ours."""
    from zoo_vq.autoencoder import layouts

    return layouts.adopt(keys, config)
