"""Strangers' checkpoints: adopted by the family that knows the layout, converted once.

`zoo.foreign` reads the file without running anything in it; a family's `adopt` hook sees names,
shapes and the config; what it answers (`zoo.adoption.Adoption`) says how the tensors become ours.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo import hub, saving, weights
from zoo.adoption import TRANSFORMS, Adoption, Within
from zoo.card import HOOKS, README, Card, Density
from zoo.errors import ForeignError, PluginError, listed
from zoo.model import Device, Model, build
from zoo.plugins import Family
from zoo.recognition import claimed, recognise

if TYPE_CHECKING:
    from zoo.foreign import Foreign

_TRANSFORM: Mapping[str, Callable[[Tensor], Tensor]] = {
    "squeeze-conv": lambda tensor: tensor.squeeze(-1).squeeze(-1),
    "unsqueeze-conv": lambda tensor: tensor[:, :, None, None],
    "transpose": lambda tensor: tensor.t(),
    "hwio": lambda tensor: tensor.permute(3, 2, 0, 1),
    "stacked": lambda tensor: tensor.transpose(1, 2).flatten(0, 1),
    "flatten": lambda tensor: tensor.flatten(),
    "rows": lambda tensor: tensor.reshape(-1, tensor.shape[-1]),
}


def convert(
    path: str | Path,
    name: str,
    out: str | Path | None = None,
    *,
    license: str = "unknown",
    version: str = "1.0.0",
    dtype: torch.dtype | None = None,
    family: str | None = None,
    drop: Sequence[str] = (),
) -> Path:
    """Make a stranger's checkpoint a model of the zoo: a folder with a card and safetensors.

    Without `out` it goes to the store, so that `zoo.load(name)` finds it. `license` is the
    checkpoint's own, as the hub names it. Weights are stored in the type they have, or in `dtype`.
    `family` is which to ask, where several know the checkpoint.
    A part that is in the same file (a DALL-E's tokenizer) becomes a model of its own, NAME-ROLE, in
    a folder beside. `drop` as for `zoo.load`. Raises ForeignError, WeightsError, CardError (a name
    that cannot be one).
    """
    path = Path(path)
    folder = Path(out) if out is not None else hub.models() / f"{name}@{version}"
    if (folder / README).exists():
        raise ForeignError(
            f"{folder} holds a model already, and a version never changes. Give another."
        )
    facts = {"sha256": weights.sha256_of(path)} if path.is_file() else {}

    def write(model: Model, state: Mapping[str, Tensor], folder: Path) -> None:
        source = {**(model.card.source or {}), **facts}
        saving.save(model, folder, {"source": source}, state if dtype is None else None)

    found, states = _adopted(path, name, version, license, None, dtype, family, drop)
    for role, part in found.parts.items():
        beside = folder.parent / part.card.title
        if (beside / README).exists():
            raise ForeignError(
                f"{beside} holds a model already, and {path} has a {role} that goes there. Give "
                "another name."
            )
        write(part, states[role], beside)
    write(found, states[""], folder)
    return folder


def load_foreign(
    path: Path,
    device: Device = None,
    dtype: torch.dtype | None = None,
    family: str | None = None,
    drop: Sequence[str] = (),
) -> Model:
    """A stranger's checkpoint as a Model, `family` and `drop` as for `zoo.load`. Raises as it does."""
    letters = (each if each.isalnum() and each.isascii() else "-" for each in path.stem.lower())
    name = "".join(letters).strip("-") or "checkpoint"
    return _adopted(path, name, "0.0.0", "unknown", device, dtype, family, drop)[0]


def inside(foreign: Foreign, part: Within) -> Foreign:
    """The checkpoint of a part: the keys that begin with its prefix, without it."""
    from zoo.foreign import Foreign

    cut = len(part.prefix)
    keys = {key[cut:]: shape for key, shape in foreign.keys.items() if key.startswith(part.prefix)}
    every = foreign.tensors()
    tensors = {key: every[part.prefix + key] for key in keys}
    return Foreign(foreign.path, keys, part.config, foreign.config_path, _tensors=tensors)


def sized(adoption: Adoption, size: tuple[int, int] | None) -> Adoption:
    """The same model for pictures of another height and width."""
    if size is None or size == adoption.image[1:]:
        return adoption
    latent = adoption.latent
    if latent is not None:
        grid = (
            latent[-2] * size[0] // adoption.image[1],
            latent[-1] * size[1] // adoption.image[2],
        )
        latent = (*latent[:-2], *grid)
    return replace(adoption, image=(adoption.image[0], *size), latent=latent)


def renamed(foreign: Foreign, adoption: Adoption, where: str) -> dict[str, Tensor]:
    """The foreign tensors under our names and in our layout.

    Raises ForeignError for a tensor nobody accounts for.
    """
    used = {piece.key for each in adoption.pieces.values() for piece in each}
    prefixes = tuple(part.prefix for part in adoption.parts.values())
    over = [
        key
        for key in foreign.keys
        if key not in adoption.rename
        and key not in used
        and not (prefixes and key.startswith(prefixes))
        and not any(fnmatchcase(key, mask) for mask in adoption.dropped)
    ]
    absent = [key for key in (*adoption.rename, *sorted(used)) if key not in foreign.keys]
    if over or absent:
        raise ForeignError(
            f"{where}: the layout {adoption.layout!r} does not account for every tensor: "
            f"{len(over)} unknown in the file ({listed(over, 6)}), {len(absent)} that should be "
            f"there are not ({listed(absent, 6)})."
            + (" To leave out what you name: drop=[...], `zoo convert --drop`." if over else "")
        )
    tensors, state = foreign.tensors(), {}

    def changed(tensor: Tensor, change: str | None) -> Tensor:
        if change is None:
            return tensor
        if change not in TRANSFORMS:
            raise PluginError(
                f"{adoption.layout}: unknown transform {change!r}; there are {listed(TRANSFORMS)}."
            )
        return _TRANSFORM[change](tensor).contiguous()

    for key, ours in adoption.rename.items():
        state[ours] = changed(tensors[key], adoption.transforms.get(ours))
    for ours, pieces in adoption.pieces.items():
        cut = [
            changed(tensors[each.key], each.transform)[each.start : each.stop] for each in pieces
        ]
        state[ours] = changed(torch.cat(cut), adoption.transforms.get(ours))
    return state


def _adopted(
    path: Path,
    name: str,
    version: str,
    license: str,
    device: Device,
    dtype: torch.dtype | None,
    family: str | None,
    drop: Sequence[str],
) -> tuple[Model, dict[str, dict[str, Tensor]]]:
    """The checkpoint as a model, and its tensors under our names as they were stored.

    The tensors are those of the model itself under "", and of each of its parts under its role.
    """
    foreign, hooks, adoption = recognise(path, family, drop)
    states: dict[str, dict[str, Tensor]] = {}

    def made(
        foreign: Foreign, hooks: Family, adoption: Adoption, role: str, parts: Mapping[str, Model]
    ) -> Model:
        called, where = (f"{name}-{role}", f"{path} ({role})") if role else (name, str(path))
        card = _card(hooks, adoption, called, version, license, path)
        card = replace(card, parts={each: part.card.title for each, part in parts.items()})
        folder = _laid_out(adoption.files) if adoption.files else None
        if folder is not None:
            files = {each: saving.described(folder / each) for each in adoption.files}
            card = replace(card, files=files)
        net = build(hooks, card, parts, folder=folder)
        state = renamed(foreign, adoption, where)
        weights.refuse_not_finite(state, where)
        place = torch.device(device) if device is not None else torch.get_default_device()
        weights.assign(net, state, where, dtype, place)
        states[role] = state
        return Model(card, net, hooks, dict(parts), folder=folder)

    parts = {}
    for role, within in adoption.parts.items():
        inner = inside(foreign, within)
        theirs, said = claimed(inner, f"{path} ({role})")
        parts[role] = made(inner, theirs, sized(said, within.size), role, {})
    return made(foreign, hooks, adoption, "", parts), states


def _laid_out(files: Mapping[str, Any]) -> Path:
    """A folder with the files of a card that lies nowhere else; it is gone when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="zoo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def _card(
    hooks: Family, adoption: Adoption, name: str, version: str, license: str, path: Path
) -> Card:
    latent, codes = adoption.latent, adoption.codes
    kind = "none" if latent is None else "continuous" if codes is None else "tokens"
    unmeant = () if adoption.log_prob else ("log_prob",)
    able = hooks.hooks if adoption.hooks is None else adoption.hooks
    return Card(
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
        sampling=adoption.sampling,
        hooks=tuple(each for each in HOOKS if each in able and each not in unmeant),
        log_prob=Density(**adoption.log_prob) if adoption.log_prob else None,
        source={"layout": adoption.layout, "file": path.name},
        body=f"\n# {name}\n\nFrom `{path.name}` ({adoption.layout}). {adoption.notes}".rstrip()
        + "\n",
    )
