"""Strangers' checkpoints, read without running anything that they say.

`open_checkpoint(path)` takes a file (safetensors, or what torch.save has ever written: .ckpt .pt
.pth .pkl .bin) or a folder (a diffusers model folder, or any folder with one weights file) and
gives names, shapes, tensors and the configuration as plain data. Pickles go through
`zoo.foreign.unpickle`, which can rebuild tensors only; numbers are memory-mapped, keep their type
(float16 stays float16) and cost nothing until touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from zoo.errors import ForeignError
from zoo.foreign import archive, configs
from zoo.foreign.unpickle import Inert, module_state

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
ENDINGS = (".safetensors", ".ckpt", ".pt", ".pth", ".pkl", ".bin")
_PREFERRED = (
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.bin",
)
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
        return _joined(given, halves, config)
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
    nested = _nested(weights)
    name, state = find_state(nested, weights)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    if options is None:
        options, where = configs.inside(nested), weights
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


def _joined(folder: Path, halves: Mapping[str, Path], config: str | Path | None) -> Foreign:
    """Two halves as one checkpoint, their names under `encoder.` and `decoder.`."""
    opened = {half: open_checkpoint(path, config) for half, path in halves.items()}
    shapes = {f"{half}.{k}": v for half, each in opened.items() for k, v in each.keys.items()}
    tensors = {f"{half}.{k}": v for half, each in opened.items() for k, v in each.tensors().items()}
    first = opened["encoder"]
    return Foreign(folder, shapes, first.config, first.config_path, "", None, tensors)


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
        return archive.read_zip(path)
    if head[:1] == b"\x80":
        return archive.read_legacy(path)
    raise ForeignError(
        f"{path} is neither safetensors nor a torch checkpoint (it begins with {head[:8]!r}). "
        "Known: .safetensors, and what torch.save writes."
    )


__all__ = ["Foreign", "find_state", "open_checkpoint"]
