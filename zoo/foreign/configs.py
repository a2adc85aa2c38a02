"""The configuration that comes with a stranger's checkpoint, beside it or inside it: plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from zoo.errors import ForeignError
from zoo.foreign.unpickle import Inert

SCHEDULER = "scheduler_config.json"
_LIMIT = 4 * 2**20  # bytes; no configuration is longer
_INSIDE = ("hyper_parameters", "hparams", "config", "args")


def beside(weights: Path) -> tuple[Path, dict[str, Any]] | None:
    """The configuration file next to `weights`, parsed: (path, contents), or None without one.

    In order: NAME.json|yaml|yml of the weights' own name, config.json|yaml|yml, model.yaml, then
    taming's ../configs/*-project.yaml. Two candidates of the last kind: the newest by name. A diffusers
    model's scheduler, beside it or in the same pipeline, is added as `scheduler`. Raises ForeignError
    for a file that is not JSON or YAML or not a mapping.
    """
    folder = weights.parent
    names = [f"{weights.stem}{ending}" for ending in (".json", ".yaml", ".yml")]
    names += ["config.json", "config.yaml", "config.yml", "model.yaml", "project.yaml"]
    found = [folder / name for name in names if (folder / name).is_file()]
    found += sorted(folder.glob("*-project.yaml"), reverse=True)
    found += sorted((folder.parent / "configs").glob("*-project.yaml"), reverse=True)
    if not found:
        return None
    options = parse(found[0])
    return found[0], {**_scheduler(options, folder), **options}


def _scheduler(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """{"scheduler": ...} of a diffusers model: beside it, or in the folder of its pipeline."""
    if "_class_name" not in options:
        return {}
    places = [folder / SCHEDULER, folder / "scheduler" / SCHEDULER]
    if (folder.parent / "model_index.json").is_file():
        places.append(folder.parent / "scheduler" / SCHEDULER)
    return next(({"scheduler": parse(place)} for place in places if place.is_file()), {})


def parse(path: Path) -> dict[str, Any]:
    """A JSON or YAML file as plain data. Raises ForeignError naming the file."""
    if path.stat().st_size > _LIMIT:
        raise ForeignError(f"{path} has more than {_LIMIT} bytes; that is no configuration")
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ForeignError(f"{path} cannot be parsed: {error}") from error
    if not isinstance(data, dict):
        raise ForeignError(f"{path} holds a {type(data).__name__}, not a mapping of options")
    return data


def inside(nested: Any) -> dict[str, Any] | None:
    """The options inside a checkpoint: Lightning's hyper_parameters, DALLE-pytorch's hparams.

    A DALLE-pytorch file has two sets of them, its own and its tokenizer's: both, by their names.
    """
    if not isinstance(nested, Mapping):
        return None
    if "hparams" in nested and "vae_params" in nested:
        names = ("hparams", "vae_params", "vae_class_name", "version")
        return {name: plain(nested[name]) for name in names if name in nested}
    for name in _INSIDE:
        value = plain(nested.get(name))
        if isinstance(value, dict) and value:
            return value
    return None


def plain(value: Any) -> Any:
    """Plain data of strangers' objects: a namespace or omegaconf node is the mapping it held."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, Inert):
        return _plain(value)
    return value


def _plain(value: Inert) -> Any:
    state = value.state
    if isinstance(state, tuple) and len(state) == 2:  # (__dict__, __slots__)
        state = {**(state[0] or {}), **(state[1] or {})}
    if isinstance(state, dict) and "_content" in state:  # omegaconf's DictConfig and ListConfig
        return plain(state["_content"])
    if isinstance(state, dict) and "_val" in state:  # omegaconf's leaves
        return plain(state["_val"])
    if isinstance(state, dict):
        return plain(state)
    if value.items:
        return plain(value.items)
    if value.values:
        return plain(value.values)
    if value.qualified.startswith("pathlib."):
        return "/".join(str(part) for part in value.args)
    return plain(value.args[0]) if len(value.args) == 1 else plain(list(value.args))
