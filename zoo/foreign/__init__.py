"""Strangers' checkpoints, read without running anything that they say.

`open_checkpoint(path)` takes a file (safetensors, what torch.save has ever written: .ckpt .pt
.pth .pkl .bin, or flax's .msgpack) or a folder (a diffusers model folder, or any folder with one weights file) and
gives names, shapes, tensors and the configuration as plain data. Safetensors hold nothing but a table and numbers
and are opened here; everything else is described by a process of its own that can do nothing else (`zoo.apart`),
and the description is checked (`zoo.foreign.rebuilding`). Numbers are memory-mapped, keep their type (float16 stays
float16) and cost nothing until touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from zoo.apart.unpickle import Inert
from zoo.errors import ForeignError, listed
from zoo.foreign import configs, reading, rebuilding
from zoo.foreign.modules import module_state

# Where a checkpoint keeps the weights, in the order they are preferred. LlamaGen's evaluation takes
# "ema" first.
STATES = (
    "ema",
    "state_dict",
    "model",
    "weights",
    "module",
    "model_state_dict",
    "params_ema",
    "params",
    "net",
)
ENDINGS = (".safetensors", ".ckpt", ".pt", ".pth", ".pkl", ".bin", ".msgpack")
_PREFERRED = (
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.bin",
)
INDEX = "model_index.json"
_APART = (
    "safety_checker",
    "controlnet",
)  # models of a pipeline that are no part of the one that draws
_NEEDED = ("unet", "vae", "vqvae", "text_encoder")
_DENOISERS = ("unet", "transformer")  # what a diffusers pipeline calls the net that denoises


@dataclass(frozen=True)
class Foreign:
    """A stranger's checkpoint, opened.

    `path` the weights file; `keys` its tensors' names and shapes; `config` the published
    configuration (None when there is none) and `config_path` where it came from; `nested` all of
    the file's contents for pickles, strange objects as `Inert` stand-ins, None for safetensors;
    `state` the entry the weights came from.
    """

    path: Path
    keys: Mapping[str, tuple[int, ...]]
    config: Mapping[str, Any] | None
    config_path: Path | None = None
    state: str = ""
    nested: Any = None
    _tensors: Mapping[str, Tensor] | None = field(default=None, repr=False)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name, of its stored type, memory-mapped where the file allows."""
        if self._tensors is not None:
            return dict(self._tensors)
        return _safetensors(self.path)

    def without(self, patterns: Sequence[str]) -> Foreign:
        """The checkpoint but for the tensors whose names match (fnmatch).

        Raises ForeignError for a pattern that no name matches.
        """
        for each in patterns:
            if not any(fnmatchcase(key, each) for key in self.keys):
                raise ForeignError(
                    f"{self.path} has no tensor {each!r} to leave out; it has {listed(self.keys, 6)}"
                )
        kept = {
            key: shape
            for key, shape in self.keys.items()
            if not any(fnmatchcase(key, each) for each in patterns)
        }
        return replace(self, keys=kept)

    def __repr__(self) -> str:
        return (
            f"Foreign({str(self.path)!r}, {len(self.keys)} tensors, config from {self.config_path})"
        )


def open_checkpoint(path: str | Path, config: str | Path | None = None) -> Foreign:
    """Open a weights file, or a folder that holds one.

    `config` names the configuration file if it lies elsewhere than beside the weights.
    Raises ForeignError, naming the file and what to do, for a file that is missing, damaged, of an
    unknown format, without tensors, or that carries code.
    """
    given = Path(path).expanduser()
    if not given.exists():
        raise ForeignError(f"there is no file or folder {given}")
    if given.is_dir() and (halves := _halves(given)):
        return joined(given, halves, config)
    if given.is_dir() and config is None and (models := _models(given)):
        return _pipeline(given, models)
    weights = _weights_in(given) if given.is_dir() else given
    if weights.stat().st_size == 0:
        raise ForeignError(f"{weights} is empty; fetch it again")
    if config is None:
        beside = configs.beside(weights)
    else:
        beside = (Path(config), configs.parse(Path(config)))
    where, options = beside if beside is not None else (None, None)
    if _is_safetensors(weights):
        return Foreign(weights, _safetensors_shapes(weights), options, where)
    if weights.suffix == ".msgpack":
        state = _opened(weights, "msgpack")
        shapes = {key: tuple(value.shape) for key, value in state.items()}
        return Foreign(weights, shapes, options, where, _tensors=state)
    nested = _nested(weights)
    name, state = find_state(nested, weights)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    if options is None:
        options, where = configs.inside(nested, weights), weights
    return Foreign(weights, shapes, options, where, name, nested, state)


def find_state(nested: Any, where: Path) -> tuple[str, dict[str, Tensor]]:
    """The state dict in a checkpoint's contents: (the entry's name, {key: tensor}).

    The name is "" when the contents are the state dict.
    Raises ForeignError listing what is there when nothing is a mapping of names to tensors.
    """
    if isinstance(nested, Inert):  # a whole pickled nn.Module
        state = dict(module_state(nested))
        if state:
            return nested.qualified, state
    if isinstance(nested, Mapping):
        for name in STATES:
            state = _tensors_of(nested.get(name))
            if state:
                return name, state
        state = _tensors_of(nested)
        if state:
            return "", state
    there = sorted(map(str, nested)) if isinstance(nested, Mapping) else type(nested).__name__
    raise ForeignError(f"{where} holds no weights by any known name {STATES}; it holds {there}")


def _tensors_of(value: Any) -> dict[str, Tensor]:
    if isinstance(value, Inert):
        return dict(module_state(value))
    if not isinstance(value, Mapping):
        return {}
    return {
        key: each
        for key, each in value.items()
        if isinstance(key, str) and isinstance(each, Tensor)
    }


def _weights_in(folder: Path) -> Path:
    for name in _PREFERRED:
        if (folder / name).is_file():
            return folder / name
    found = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in ENDINGS)
    if len(found) == 1:
        return found[0]
    if not found and (folder / "model_index.json").is_file():
        halves = [folder / name for name in _DENOISERS if (folder / name).is_dir()]
        if len(halves) == 1:
            return _weights_in(halves[0])
    what = ", ".join(p.name for p in found) if found else "none"
    raise ForeignError(
        f"{folder} should hold one weights file ({', '.join(ENDINGS)}); it holds {what}. "
        "Name the file itself."
    )


def _halves(folder: Path) -> dict[str, Path]:
    """The two files of a folder that hold an encoder and a decoder apart, by half; {} if it is not of that kind."""
    found = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in ENDINGS)
    halves = {half: path for half in ("decoder", "encoder") for path in found if half in path.name}
    if len(found) != 2 or len(halves) != 2:
        return {}
    alike = halves["encoder"].name.replace("encoder", "decoder") == halves["decoder"].name
    return halves if alike else {}


def joined(folder: Path, halves: Mapping[str, Path], config: str | Path | None) -> Foreign:
    """Two halves as one checkpoint, their names under `encoder.` and `decoder.`."""
    opened = {half: open_checkpoint(path, config) for half, path in halves.items()}
    shapes = {f"{half}.{k}": v for half, each in opened.items() for k, v in each.keys.items()}
    tensors = {f"{half}.{k}": v for half, each in opened.items() for k, v in each.tensors().items()}
    first = opened["encoder"]
    return Foreign(folder, shapes, first.config, first.config_path, "", None, tensors)


def _models(folder: Path) -> list[str]:
    """The models of a diffusers pipeline that go together with its `unet`; [] where there are none."""
    if not (folder / INDEX).is_file():
        return []
    named = configs.parse(folder / INDEX)
    found = [
        name
        for name, value in named.items()
        if isinstance(value, list)
        and name not in _APART
        and (folder / name).is_dir()
        and any(each.suffix in ENDINGS for each in (folder / name).iterdir())
    ]
    missing = [name for name, value in named.items() if name in _NEEDED and any(value or ())]
    if "unet" in found and (lacks := [name for name in missing if name not in found]):
        raise ForeignError(
            f"{folder / INDEX} names {lacks[0]}, and {folder / lacks[0]} holds no weights; the pipeline is incomplete"
        )
    return found if "unet" in found and len(found) > 1 else []


def _pipeline(folder: Path, models: list[str]) -> Foreign:
    """The models of a diffusers pipeline as one checkpoint, each one's names and configuration under its own."""
    opened = {name: open_checkpoint(folder / name) for name in models}
    shapes = {f"{name}.{k}": v for name, each in opened.items() for k, v in each.keys.items()}
    tensors = {f"{name}.{k}": v for name, each in opened.items() for k, v in each.tensors().items()}
    index = configs.parse(folder / INDEX)
    options: dict[str, Any] = {"_class_name": index.get("_class_name")}
    options |= {name: dict(each.config or {}) for name, each in opened.items()}
    return Foreign(folder, shapes, options, folder / INDEX, "", None, tensors)


def _is_safetensors(path: Path) -> bool:
    if path.suffix == ".safetensors":
        return True
    with path.open("rb") as file:
        head = file.read(9)
    return (
        len(head) == 9
        and head[8:9] == b"{"
        and int.from_bytes(head[:8], "little") < path.stat().st_size
    )


def _safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise ForeignError(f"{path} is not a sound safetensors file: {error}") from error


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise ForeignError(f"{path} is not a sound safetensors file: {error}") from error


def _nested(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(16)
    if head[:4] == b"PK\x03\x04":
        return _opened(path, "zip")
    if head[:1] == b"\x80":
        return _opened(path, "legacy")
    raise ForeignError(
        f"{path} is neither safetensors nor a torch checkpoint (it begins with {head[:8]!r}). "
        "Known: .safetensors, what torch.save writes, and flax's .msgpack."
    )


def _opened(path: Path, form: str) -> Any:
    """The contents of a file in one of the forms that a process of its own reads."""
    size = path.stat().st_size
    return rebuilding.contents(reading.describe(path, form), path, size)


__all__ = ["Foreign", "find_state", "joined", "open_checkpoint"]
