"""The configuration that comes with a stranger's checkpoint, beside it or inside it: plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from zoo.apart.unpickle import Inert
from zoo.errors import ForeignError

SCHEDULER = "scheduler_config.json"
_LIMIT = 4 * 2**20  # bytes; no configuration is longer
_VOCABULARY = 32 * 2**20  # bytes of a vocabulary; CLIP's has 3 MiB
_VALUES = 2**20  # of the options in a checkpoint
_INSIDE = ("hyper_parameters", "hparams", "config", "args")


def beside(weights: Path) -> tuple[Path, dict[str, Any]] | None:
    """The configuration file next to `weights`, parsed: (path, contents), or None without one.

    In order: NAME.json|yaml|yml of the weights' own name, config.json|yaml|yml, model.yaml, then
    taming's ../configs/*-project.yaml. Two candidates of the last kind: the newest by name. A diffusers
    model's scheduler, beside it or in the same pipeline, is added as `scheduler`, a vocabulary as `tokenizer`. Raises
    ForeignError for a file that is not JSON or YAML or not a mapping.
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
    return found[0], {**_scheduler(options, folder), **tokenizer(folder), **options}


def _scheduler(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """{"scheduler": ...} of a diffusers model: beside it, or in the folder of its pipeline."""
    if "_class_name" not in options:
        return {}
    places = [folder / SCHEDULER, folder / "scheduler" / SCHEDULER]
    if (folder.parent / "model_index.json").is_file():
        places.append(folder.parent / "scheduler" / SCHEDULER)
    return next(({"scheduler": parse(place)} for place in places if place.is_file()), {})


def tokenizer(folder: Path) -> dict[str, Any]:
    """{"tokenizer": ...}, the vocabulary in a folder, in its `tokenizer/` or in that of its pipeline; {} without one.

    It holds `whole`, the content of tokenizer.json, or `vocab` and `merges`, as GPT-2 and CLIP were published, or
    `words`, the lines of vocab.txt, as BERT was; and `said`, of tokenizer_config.json or special_tokens_map.json.
    Raises ForeignError for a damaged file.
    """
    places = [folder, folder / "tokenizer"]
    if folder.name == "text_encoder" and (folder.parent / "model_index.json").is_file():
        places.append(folder.parent / "tokenizer")
    for place in places:
        found: dict[str, Any] = {}
        if (place / "tokenizer.json").is_file():
            found["whole"] = parse(place / "tokenizer.json", _VOCABULARY)
        elif (place / "vocab.json").is_file() and (place / "merges.txt").is_file():
            lines = (place / "merges.txt").read_text(encoding="utf-8").split("\n")
            found["vocab"] = parse(place / "vocab.json", _VOCABULARY)
            found["merges"] = [line for line in lines if line and not line.startswith("#version")]
        elif (place / "vocab.txt").is_file():
            text = (place / "vocab.txt").read_text(encoding="utf-8")
            found["words"] = text.removesuffix("\n").split("\n")
        else:
            continue
        for name in ("special_tokens_map.json", "tokenizer_config.json"):
            if (place / name).is_file():
                found["said"] = {**found.get("said", {}), **parse(place / name)}
        return {"tokenizer": found}
    return {}


def parse(path: Path, limit: int = _LIMIT) -> dict[str, Any]:
    """A JSON or YAML file of at most `limit` bytes as plain data. Raises ForeignError naming the file."""
    if path.stat().st_size > limit:
        raise ForeignError(f"{path} has more than {limit} bytes; that is no configuration")
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ForeignError(f"{path} cannot be parsed: {error}") from error
    if not isinstance(data, dict):
        raise ForeignError(f"{path} holds a {type(data).__name__}, not a mapping of options")
    return data


def inside(nested: Any, where: Path) -> dict[str, Any] | None:
    """The options inside a checkpoint: Lightning's hyper_parameters, DALLE-pytorch's hparams.

    A DALLE-pytorch file has two sets of them, its own and its tokenizer's: both, by their names.
    Raises ForeignError, naming `where`, for options that unfold to more than a million values, or
    without end.
    """
    if not isinstance(nested, Mapping):
        return None
    plain = _Plain(where)
    if "hparams" in nested and "vae_params" in nested:
        names = ("hparams", "vae_params", "vae_class_name", "version")
        return {name: plain(nested[name]) for name in names if name in nested}
    for name in _INSIDE:
        value = plain(nested.get(name))
        if isinstance(value, dict) and value:
            return value
    return None


class _Plain:
    """Plain data of strangers' objects: a namespace or omegaconf node is the mapping it held."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.left = _VALUES  # what is shared is written out wherever it stands, so it can be many

    def __call__(self, value: Any) -> Any:
        self._count(1)
        try:
            return self._one(value)
        except RecursionError as error:
            raise ForeignError(f"{self.where}: its options are nested too deep") from error

    def _count(self, more: int) -> None:
        self.left -= more
        if self.left < 0:
            raise ForeignError(f"{self.where}: its options unfold to more than {_VALUES} values")

    def _one(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): self(each) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self(each) for each in value]
        if isinstance(value, Inert):
            return self._inert(value)
        return value

    def _inert(self, value: Inert) -> Any:
        state = value.state
        if isinstance(state, tuple) and len(state) == 2:  # (__dict__, __slots__)
            state = {**(state[0] or {}), **(state[1] or {})}
        if isinstance(state, dict) and "_content" in state:  # omegaconf's DictConfig and ListConfig
            return self(state["_content"])
        if isinstance(state, dict) and "_val" in state:  # omegaconf's leaves
            return self(state["_val"])
        if isinstance(state, dict):
            return self(state)
        if value.items:
            return self(value.items)
        if value.values:
            return self(value.values)
        if value.qualified.startswith("pathlib."):
            parts = [part for part in value.args if isinstance(part, str)]
            self._count(sum(map(len, parts)))
            return "/".join(parts)
        return self(value.args[0]) if len(value.args) == 1 else self(list(value.args))
