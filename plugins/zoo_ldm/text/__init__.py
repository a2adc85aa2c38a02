"""The family `text`: a text encoder, the part `text` of a latent diffusion model; see `zoo_ldm.text.transformer`.

It draws nothing: its card's `image` is (1, L, D), the rows that the model attends to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo import hookimpl

if TYPE_CHECKING:
    from zoo.adoption import Adoption
    from zoo_ldm.text.transformer import TextTransformer


@hookimpl
def build(config: Mapping[str, Any]) -> TextTransformer:
    """The net of the card's config; see `zoo_ldm.text.transformer.text_transformer`."""
    from zoo_ldm.text.transformer import text_transformer

    return text_transformer(config)


@hookimpl
def adopt(keys: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None) -> Adoption | None:
    """Whether these keys are those of CLIP's text half, or of the transformer in CompVis' text-to-image model."""
    from zoo_ldm.text import layouts

    return layouts.adopt(keys, config)
