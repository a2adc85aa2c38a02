"""The model that made an archive: found by its name, held to its weights, its fingerprint and how it codes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from zoo.codec import bitsback
from zoo.codec.coder import LATENT, Coder
from zoo.codec.stream import Facts
from zoo.errors import CodecError, WeightsError, ZooError

if TYPE_CHECKING:
    from zoo.model import Model


def coder_of(facts: Facts, model: Model | None) -> Coder:
    """The model that an archive was made with, or `model` if it is that one."""
    if model is None:
        from zoo.loading import load

        try:
            model = load(facts.model)
        except ZooError as error:
            raise type(error)(
                f"The archive was made with {facts.model} (weights {_short(facts.weights)}), which "
                f"cannot be loaded here: {error} Give the model yourself (-m, or model=) if it is "
                "elsewhere."
            ) from error
    if facts.weights != weights_of(model):
        raise WeightsError(
            f"The archive was made with {facts.model}, weights {_short(facts.weights)}; "
            f"{model.card.title} here has weights {_short(weights_of(model))}. Only the very same "
            "weights decode it: load that version."
        )
    request = json.loads(facts.request) if facts.request else {}
    coder = Coder.of(replace(model, request=request))
    if coder.fingerprint != facts.fingerprint:
        raise WeightsError(
            f"The weights of {model.card.title} in memory have the fingerprint "
            f"{coder.fingerprint.hex()}, those that coded the archive {facts.fingerprint.hex()}, "
            "though the files are the same: they were loaded with another dtype, or changed since. "
            "Load the model as it was loaded then."
        )
    stated = (facts.kind, facts.alphabet, facts.length, facts.latents, facts.image, facts.bits)
    here = (
        coder.kind, coder.grid.alphabet, coder.length, coder.latents, coder.card.image,
        coder.grid.bits,
    )  # fmt: skip
    if stated != here or (facts.kind == LATENT and facts.latent_bits != bitsback.BITS):
        raise CodecError(
            f"The archive's kind, alphabet, length, latents, tile and grid are {stated}, those of "
            f"{model.card.title} here {here}: the family codes otherwise than it did then."
        )
    return coder


def weights_of(model: Model) -> tuple[str, ...]:
    """sha256 of the files of a model's weights, then of its parts': the tokenizer's decode the tokens."""
    parts = [each for _, part in sorted(model.parts.items()) for each in weights_of(part)]
    return (*model.card.weights, *parts)


def _short(weights: tuple[str, ...]) -> str:
    return " + ".join(each[:12] for each in weights) or "without a file"
