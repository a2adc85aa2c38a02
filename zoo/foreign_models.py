"""Strangers' checkpoints: adopted by the family that knows the layout, converted once.

`zoo.foreign` reads the file without running anything in it; a family's `adopt` hook sees names,
shapes and the config; what it answers (`zoo.adoption.Adoption`) says how the tensors become ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo import hub, saving, weights
from zoo.adoption import TRANSFORMS, Adoption
from zoo.card import HOOKS, README, Card, Density
from zoo.errors import ForeignError, PluginError, listed
from zoo.model import Device, Model, build
from zoo.plugins import Family, families, family

if TYPE_CHECKING:
    from zoo.foreign import Foreign

_TRANSFORM: Mapping[str, Callable[[Tensor], Tensor]] = {
    "squeeze-conv": lambda tensor: tensor.squeeze(-1).squeeze(-1),
    "unsqueeze-conv": lambda tensor: tensor[:, :, None, None],
    "transpose": lambda tensor: tensor.t(),
    "hwio": lambda tensor: tensor.permute(3, 2, 0, 1),
    "flatten": lambda tensor: tensor.flatten(),
}


def convert(
    path: str | Path,
    name: str,
    out: str | Path | None = None,
    *,
    license: str = "unknown",
    version: str = "1.0.0",
    dtype: torch.dtype | None = None,
) -> Path:
    """Make a stranger's checkpoint a model of the zoo: a folder with a card and safetensors.

    Without `out` it goes to the store, so that `zoo.load(name)` finds it. `license` is the
    checkpoint's own, as the hub names it. Weights are stored in the type they have, or in `dtype`.
    Raises ForeignError, WeightsError, CardError (a name that
    cannot be one).
    """
    path = Path(path)
    folder = Path(out) if out is not None else hub.models() / f"{name}@{version}"
    if (folder / README).exists():
        raise ForeignError(
            f"{folder} holds a model already, and a version never changes. Give another."
        )
    model, state = _adopted(path, name, version, license, None, dtype)
    facts = {"sha256": weights.sha256_of(path)} if path.is_file() else {}
    source = {**(model.card.source or {}), **facts}
    return saving.save(model, folder, {"source": source}, state if dtype is None else None)


def load_foreign(path: Path, device: Device = None, dtype: torch.dtype | None = None) -> Model:
    """A stranger's checkpoint as a Model. Raises ForeignError, WeightsError."""
    letters = (each if each.isalnum() and each.isascii() else "-" for each in path.stem.lower())
    name = "".join(letters).strip("-") or "checkpoint"
    return _adopted(path, name, "0.0.0", "unknown", device, dtype)[0]


def recognise(path: Path) -> tuple[Foreign, Family, Adoption]:
    """The opened checkpoint, the family that knows it, and what it says.

    Raises ForeignError unless exactly one does.
    """
    from zoo.foreign import open_checkpoint

    foreign = open_checkpoint(path)
    said: list[tuple[Family, Adoption]] = []
    asked = []
    for name in families():
        hooks = family(name)
        if "adopt" not in hooks.hooks:
            continue
        asked.append(name)
        adoption = hooks.call("adopt", keys=foreign.keys, config=foreign.config)
        if adoption is None:
            continue
        if not isinstance(adoption, Adoption):
            raise PluginError(
                f"{hooks.distribution}: adopt answered {type(adoption).__name__}, not a "
                "zoo.Adoption."
            )
        said.append((hooks, adoption))
    if not said:
        raise ForeignError(
            f"{path}: no installed family recognises this checkpoint (asked: {listed(asked)}). It "
            f"holds {len(foreign.keys)} tensors: {listed(foreign.keys, 4)}"
            + (
                "."
                if foreign.config
                else "; it came without a config: put its config.json or .yaml beside it."
            )
        )
    if len(said) > 1:
        both = " and ".join(
            f"{hooks.name} ({hooks.distribution}: {each.layout})" for hooks, each in said
        )
        raise ForeignError(
            f"{path}: {both} all claim this checkpoint. Uninstall one, or report it to its author."
        )
    return foreign, *said[0]


def renamed(foreign: Foreign, adoption: Adoption, where: str) -> dict[str, Tensor]:
    """The foreign tensors under our names and in our layout.

    Raises ForeignError for a tensor nobody accounts for.
    """
    over = [
        key
        for key in foreign.keys
        if key not in adoption.rename
        and not any(fnmatchcase(key, mask) for mask in adoption.dropped)
    ]
    absent = [key for key in adoption.rename if key not in foreign.keys]
    if over or absent:
        raise ForeignError(
            f"{where}: the layout {adoption.layout!r} does not account for every tensor: "
            f"{len(over)} unknown in the file ({listed(over, 6)}), {len(absent)} that should be "
            f"there are not ({listed(absent, 6)})."
        )
    tensors, state = foreign.tensors(), {}
    for key, ours in adoption.rename.items():
        change = adoption.transforms.get(ours)
        if change is not None and change not in TRANSFORMS:
            raise PluginError(
                f"{adoption.layout}: unknown transform {change!r}; there are {listed(TRANSFORMS)}."
            )
        state[ours] = _TRANSFORM[change](tensors[key]).contiguous() if change else tensors[key]
    return state


def _adopted(
    path: Path,
    name: str,
    version: str,
    license: str,
    device: Device,
    dtype: torch.dtype | None,
) -> tuple[Model, dict[str, Tensor]]:
    """The checkpoint as a model, and its tensors under our names as they were stored."""
    foreign, hooks, adoption = recognise(path)
    latent, codes = adoption.latent, adoption.codes
    kind = "none" if latent is None else "continuous" if codes is None else "tokens"
    unmeant = () if adoption.log_prob else ("log_prob",)
    card = Card(
        name=name,
        family=hooks.name,
        version=version,
        license=license,
        config=adoption.config,
        image=adoption.image,
        latent=latent,
        latent_kind=kind,
        codes=codes,
        multiple=adoption.multiple,
        hooks=tuple(each for each in HOOKS if each in hooks.hooks and each not in unmeant),
        log_prob=Density(**adoption.log_prob) if adoption.log_prob else None,
        source={"layout": adoption.layout, "file": path.name},
        body=f"\n# {name}\n\nFrom `{path.name}` ({adoption.layout}). {adoption.notes}".rstrip()
        + "\n",
    )
    net = build(hooks, card, {})
    state = renamed(foreign, adoption, str(path))
    weights.refuse_not_finite(state, str(path))
    place = torch.device(device) if device is not None else torch.get_default_device()
    weights.assign(net, state, str(path), dtype, place)
    return Model(card, net, hooks), state
