"""Vector-quantised tokenizers: a picture is a small grid of integers, and back.

    tokens = argmin_k |E(x) - c_k|,   x^ = D(c_tokens)

VQ-VAE (van den Oord et al., 2017, arXiv:1711.00937), VQ-GAN (Esser et al., 2020, arXiv:2012.09841), lookup-free
and finite scalar quantisation (Yu et al., 2023, arXiv:2310.05737; Mentzer et al., 2023, arXiv:2309.15505), Gumbel
(DALL-E's dVAE). The family's page is README.md beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.adoption import Adoption
    from zoo.train.objective import Objective
    from zoo_vq.net import Tokenizer


@hookimpl
def build(config: Mapping[str, Any]) -> Tokenizer:
    """The net of the card's config; see `zoo_vq.net.tokenizer`."""
    from zoo_vq.net import tokenizer

    return tokenizer(config)


@hookimpl
def encode(net: Tokenizer, images: Tensor) -> Tensor:
    """Pictures (B, C, H, W) in [-1, 1] to tokens (B, H / f, W / f) int64."""
    from zoo.nn import tiles

    return tiles.encode(net.tokens, images)


@hookimpl
def decode(net: Tokenizer, latents: Tensor) -> Tensor:
    """Tokens (B, h, w) int64 to pictures (B, C, f h, f w), clamped to [-1, 1]."""
    from zoo.nn import tiles

    def images(tokens: Tensor) -> Tensor:
        return net.decode(net.lookup(tokens)).clamp(-1, 1)

    return tiles.decode(images, latents)


@hookimpl
def objectives(net: Tokenizer, recipe: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective (VQ-VAE) or two (VQ-GAN): `zoo_vq.training.Weights` reads the recipe's [objective]."""
    from zoo_vq import training

    return training.objectives(net, recipe)


@hookimpl
def adopt(keys: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None) -> Adoption | None:
    """Which published tokenizer these keys are, if one."""
    from zoo_vq import layouts

    return layouts.adopt(keys, config)
