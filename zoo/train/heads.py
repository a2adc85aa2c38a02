"""New labels for a trained net: what holds a row a label is made for as many as there are now, the rest is kept.

Of a table E (K, ...) or a last layer with K rows, and K' new labels,

    e'_k = e_j  where k is called what the trained net's label j is,    else  1/K sum_j e_j

A row below them, which stands for no label, stays as it is. A new label so begins as what all labels have in common.
K is `classes` of the card's config, in every place of it. Which tensors have a row a label no family needs to say: the
net is built for K and for K + 1 labels on the meta device, where it costs nothing, and the shapes are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo import config_files
from zoo.bare import shapes_only
from zoo.errors import Unsupported, listed

if TYPE_CHECKING:
    from zoo.plugins import Family


@dataclass(frozen=True)
class Head:
    """The tensors that have a row a label, and what becomes of their rows.

    rows    name -> the dimension along which it has K rows, or K + 1 with one for no label
    old     K
    kept    for each new label the one whose row it takes over, None for the mean of all
    """

    rows: Mapping[str, int]
    old: int
    kept: tuple[int | None, ...]

    def fitted(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A trained net's tensors, with rows for the new labels; the types stay."""
        made = dict(given)
        for name in self.rows.keys() & given.keys():
            dimension = self.rows[name]
            table = given[name].movedim(dimension, 0)
            mean = table[: self.old].double().mean(0).to(table.dtype)
            each = [mean if label is None else table[label] for label in self.kept]
            grown = torch.cat([torch.stack(each), table[self.old :]])
            made[name] = grown.movedim(0, dimension).contiguous()
        return made


def resized(config: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The config for `count` labels: `classes` wherever it says as many as at the top."""
    found: dict[str, Any] = _put(config, config["classes"], count)
    return found


def head(
    family: Family,
    config: Mapping[str, Any],
    parts: Mapping[str, Any],
    folder: Path | None,
    known: Sequence[str],
    labels: Sequence[str],
) -> Head:
    """What has a row a label in the net of `config`; its labels are called `known`, if at all, and are to be `labels`.

    Raises Unsupported where it is not so simple.
    """
    old = config["classes"]
    one, more = (_shapes(family, resized(config, n), parts, folder) for n in (old, old + 1))
    if one.keys() != more.keys():
        raise Unsupported(
            f"The family {family.name!r} gives a net of {old} labels other tensors than one of {old + 1}: "
            f"{listed(sorted(one.keys() ^ more.keys()))}. Train it from nothing, with `classes` of its own."
        )
    rows: dict[str, int] = {}
    for name, shape in one.items():
        wider = [n for n, side in enumerate(shape) if more[name][n] != side]
        if not wider:
            continue
        if len(wider) > 1 or shape[wider[0]] not in (old, old + 1):
            raise Unsupported(
                f"{name} is {shape} for {old} labels and {more[name]} for {old + 1}: that is not a row a label, so the "
                "rows of new ones cannot be told. Train the net from nothing, with `classes` of its own."
            )
        rows[name] = wider[0]
    if not rows:
        raise Unsupported(
            f"A net of the family {family.name!r} is the same for {old} labels as for {old + 1}: it has no head of "
            "labels that could be replaced."
        )
    places = {name: n for n, name in enumerate(known)}
    return Head(rows, old, tuple(places.get(each) for each in labels))


def _put(value: Any, old: int, new: int) -> Any:
    if isinstance(value, Mapping):
        return {
            key: new if key == "classes" and each == old else _put(each, old, new)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_put(each, old, new) for each in value]
    return value


def _shapes(
    family: Family, config: Mapping[str, Any], parts: Mapping[str, Any], folder: Path | None
) -> dict[str, tuple[int, ...]]:
    whole = config_files.filled(config, folder, "[model] config")
    with shapes_only():
        net = family.call("build", config=whole, parts=parts)
    return {name: tuple(each.shape) for name, each in net.state_dict().items()}
