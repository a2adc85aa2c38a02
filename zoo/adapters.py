"""Adapters: small changes to a model's weights, or words it learns, kept apart from it; see `zoo.train.tuning`.

With A (r, n) and B (m, r) of a layer W (m, n), V = W + (alpha / r) B A and l the rows' learned lengths,

    LoRA:  D = V - W        DoRA:  D = l V / |V| - W        W' = W + sum_k s_k D_k

over the adapters k that are put on, each by its scale s_k. A kernel (m, c, h, w) is the matrix (m, c h w). The sum is
taken in float64 and rounded once. Nothing is changed in place: the model that comes out shares all other weights with
the one that went in, which stays what it was, to the bit. A word that was learned (`zoo.nn.text.learned`) is a row more
of the table of words; it is there or not, so its scale is 1.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zoo import hub, weights
from zoo.card import ADAPTER, Adapter, Card
from zoo.errors import RequestError, WeightsError, listed
from zoo.model import Model
from zoo.nn.text.learned import learn, taken


def adapt(model: Model, adapters: Mapping[str | os.PathLike[str], float]) -> Model:
    """`model` with adapters (names or folders) put on, each scaled: 1 as it was trained, 0 not at all.

    Put several on at once: a DoRA's change depends on the weights that it is put on, here always the base's.
    Raises WeightsError for an adapter that was made for other weights, UnknownModel, CardError.
    """
    found = [(hub.resolve(name), scale) for name, scale in adapters.items()]
    for each, _ in found:
        if each.card.adapter is None:
            raise WeightsError(
                f"{each.card.title} is a model of its own, no adapter to put on one."
            )
    return put_on(model, [(each.card, each.folder, scale) for each, scale in found])


def put_on(model: Model, adapters: list[tuple[Card, Path, float]]) -> Model:
    """As `adapt`, of cards and the folders with their files."""
    net = sharing(model)
    changes: dict[str, Tensor] = {}
    for card, folder, scale in adapters:
        if card.adapter is not None and card.adapter.words:
            _teach(net, model, card, folder, scale)
            continue
        for name, change in differences(model, card, folder).items():
            changes[name] = changes.get(name, 0) + scale * change
    for name, change in changes.items():
        layer: Any = net.get_submodule(name)
        old = layer.weight.detach()
        layer.weight = nn.Parameter(
            (old.double() + change).to(old.dtype), layer.weight.requires_grad
        )
    return replace(model, net=net)


def differences(model: Model, card: Card, folder: Path) -> dict[str, Tensor]:
    """D of each layer that an adapter changes, by its name, float64 of the layer's shape.

    Raises WeightsError where the adapter is another's, or does not fit.
    """
    about, given = _given(model, card, folder)
    layers = sorted({name.rpartition(".")[0] for name in given})
    found = {}
    for name in layers:
        try:
            layer: Any = model.net.get_submodule(name)
            old = layer.weight.detach().double()
        except AttributeError as error:
            raise WeightsError(
                f"{card.title} changes {name!r}, which {model.card.title} has not."
            ) from error
        a, b = (given[f"{name}.{part}"].to(old).flatten(1) for part in ("a", "b"))
        changed = old.flatten(1) + about.alpha / about.rank * (b @ a)  # (m, n)
        length = given.get(f"{name}.length")
        if length is not None:
            changed = length.to(old).view(-1, 1) * changed / changed.norm(dim=1, keepdim=True)
        found[name] = changed.view_as(old) - old
    return found


def _given(model: Model, card: Card, folder: Path) -> tuple[Adapter, dict[str, Tensor]]:
    """What the card says of its base, which must be the model, and what its file holds."""
    about = card.adapter
    if about is None:
        raise WeightsError(f"{card.title} is no adapter.")
    if tuple(about.weights) != model.card.weights:
        raise WeightsError(
            f"{card.title} was made for {about.base} with weights {_short(about.weights)}; "
            f"{model.card.title} has {_short(model.card.weights)}. An adapter fits the very weights that it "
            f"was trained on: put it on {about.base}, or train one for this model."
        )
    return about, weights.read(folder / ADAPTER, card.files[ADAPTER].sha256)


def _teach(net: nn.Module, model: Model, card: Card, folder: Path, scale: float) -> None:
    """Teach `net` an adapter's words, in place."""
    about, given = _given(model, card, folder)
    if scale != 1:
        raise RequestError(
            f"{card.title} teaches {listed(about.words)}: its scale is 1, not {scale}."
        )
    taken(net)
    for name, rows in given.items():
        for word, row in zip(about.words, rows, strict=True):
            learn(net, name.removesuffix(".rows"), word, row[None])


def sharing(model: Model) -> nn.Module:
    """A net of its own modules whose parameters and buffers are the model's."""
    kept: list[Any] = [*model.net.parameters(), *model.net.buffers(), *model.parts.values()]
    kept += [part.net for part in model.parts.values()]
    return copy.deepcopy(model.net, {id(each): each for each in kept})


def _short(sha256: tuple[str, ...]) -> str:
    return listed(each[:12] for each in sha256)
