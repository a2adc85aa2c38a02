"""Pixel by pixel: autoregressive models of pictures, with exact probabilities.

    p(x | c) = prod_t p(s_t | s_1, ..., s_{t-1}, c)

Gated PixelCNN (van den Oord et al., 2016, arXiv:1606.05328), PixelCNN++ (Salimans et al., 2017, arXiv:1701.05517), a
causal transformer over pixels (Chen et al., 2020, iGPT) and the mosaic, which does most of its work at half the
resolution. The family's page is README.md beside this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import hookimpl

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from zoo.adoption import Adoption
    from zoo.hookspecs import Progress
    from zoo.train.objective import Objective
    from zoo_pixel.net import Asked, PixelModel


@hookimpl
def build(config: Mapping[str, Any]) -> PixelModel:
    """The net of the card's config; see `zoo_pixel.net.pixel_model`."""
    from zoo_pixel.net import pixel_model

    return pixel_model(config)


@hookimpl
def condition(net: PixelModel, request: Mapping[str, Any], batch: int) -> Asked:
    """`label` (int or one a picture), `prefix` (pictures whose first `rows` rows are given)."""
    from zoo_pixel import asking

    return asking.asked(net, request, batch)


@hookimpl
def sample(
    net: PixelModel,
    count: int,
    cond: Asked | None,
    options: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """Draw pictures symbol by symbol; options `temperature` and `top_p`."""
    from zoo_pixel import sampling

    return sampling.sample(net, count, cond, options, generator, progress)


@hookimpl
def log_prob(net: PixelModel, images: Tensor, cond: Asked | None) -> Tensor:
    """Log p(x | c) (B,) in nats, exact, of the 8-bit or binary picture."""
    return net.log_prob(images, cond)


@hookimpl
def objectives(net: PixelModel, recipe: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective, -log p by teacher forcing; `zoo_pixel.training` says what [objective] takes."""
    from zoo_pixel import training

    return training.objectives(net, recipe)


@hookimpl
def adopt(keys: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None) -> Adoption | None:
    """Whether these keys are those of a published PixelCNN++."""
    from zoo_pixel import layouts

    return layouts.adopt(keys, config)
