"""Weights: from a safetensors file into a net, each byte read once and no parameter initialised twice.

The net is built on the meta device (shapes without memory), the file is mapped into memory (private, so training
never changes it), and the maps are assigned as the parameters: loading costs the walk over the module tree, and pages
are read when they are first used. Reference for the format: `zoo.safetensors_header`.

Every file's sha256 stands in its card and is checked. For a file over `ALWAYS` bytes the result is remembered in
`home()/verified/`, keyed by path, size, modification time, inode and the expected hash, so that the second load does
not read it all again; whoever can write there and fake those four can also replace this module. `zoo verify` never
trusts the memory. The check reads every byte, so it also looks for NaN and infinity, once a hash: what a hash has
proven finite stays finite.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import PluginError, WeightsError, listed, nearest
from zoo.safetensors_header import read_header

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

ALWAYS = 16 << 20  # bytes; smaller files are hashed at every load (15 ms)
SHOWN = 8  # lines of each kind in a report of differences


def sha256_of(path: str | Path) -> str:
    """The sha256 of a file, 64 hex digits, read in pieces. Raises WeightsError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot read the file: {error.strerror or error}.") from error


def verify(path: str | Path, sha256: str, size: int | None = None, again: bool = True) -> None:
    """Check a file against its card: size, sha256 and, of safetensors, the header and that every number is finite.

    With `again=False` a large file that passed before and has not been touched is not read again.
    Raises WeightsError naming the file, both sides and the remedy.
    """
    path = Path(path)
    try:
        stat = path.stat()
    except OSError as error:
        raise WeightsError(
            f"{path}: the card names this file, but it cannot be read: {error.strerror}. Fetch the model again."
        ) from error
    if size is not None and stat.st_size != size:
        raise WeightsError(
            f"{path}: {stat.st_size} bytes, the card says {size}. The file is truncated or another one: fetch it again."
        )
    stamp = _stamp(path, stat, sha256)
    if not again and stat.st_size > ALWAYS and stamp.exists():
        return
    found = sha256_of(path)
    if found != sha256:
        raise WeightsError(
            f"{path}: its sha256 is {found}, the card says {sha256}. The file was damaged or changed: fetch it again."
        )
    if path.suffix == ".safetensors":
        refuse_not_finite(read(path), str(path))
    if stat.st_size > ALWAYS:
        try:
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.touch()
        except OSError:
            pass  # a home that cannot be written only costs the time to check again


def read(
    path: str | Path, sha256: str | None = None, device: str | torch.device = "cpu"
) -> dict[str, Tensor]:
    """The tensors of a safetensors file, mapped into memory, after its header was checked.

    With `sha256`, the file is verified first. Writing to the tensors does not write to the file. Raises WeightsError.
    """
    if sha256 is not None:
        verify(path, sha256, again=False)
    read_header(path)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device=str(device))
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{path}: cannot be read as safetensors: {error}. Fetch it again."
        ) from error


def save(
    path: str | Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file, all or nothing: a crash leaves the old file.

    Tensors that share memory (tied weights) are written once, under the first name. Raises WeightsError for a number
    that is not finite: such weights would be refused at load.
    """
    from safetensors.torch import save_file

    path, kept, seen = Path(path), {}, set()
    refuse_not_finite(state, str(path))
    for name, tensor in state.items():
        place = (
            tensor.untyped_storage().data_ptr(),
            tensor.storage_offset(),
            tensor.shape,
            tensor.stride(),
        )
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        kept[name] = tensor.detach().cpu().contiguous().clone()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(kept, unfinished, {"format": "pt", **(metadata or {})})
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load_into(
    net: nn.Module,
    path: str | Path,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    sha256: str | None = None,
) -> nn.Module:
    """Lay a safetensors file into `net`, which was built on the meta device. See `assign`. Raises WeightsError."""
    return assign(net, read(path, sha256, device), str(path), dtype, device)


def assign(
    net: nn.Module,
    state: Mapping[str, Tensor],
    where: str,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
) -> nn.Module:
    """Make `state` the parameters and buffers of `net`, strictly, in evaluation mode.

    `dtype` is that of floating-point weights; without one, half precision (a way to store) becomes float32 (a way to
    compute) and wider types stay. Raises WeightsError listing the keys that are missing, left over or of another
    shape, and PluginError for a net that keeps values which are in no file.
    """
    import torch

    wanted = net.state_dict()
    tied = _tied(net)
    _compare(wanted, state, tied, where)
    laid = {name: _cast(state[_source(name, state, tied)], dtype).to(device) for name in wanted}
    for name, tensor in laid.items():
        if wanted[name].dtype.is_floating_point != tensor.dtype.is_floating_point:
            raise WeightsError(
                f"{where}: {name!r} is {tensor.dtype}, the net has {wanted[name].dtype}."
            )
    net.load_state_dict(laid, assign=True)
    for first, *others in tied:
        for other in others:
            _set_parameter(net, other, net.get_parameter(first))
    with torch.device(device):
        for module in net.modules():
            reset = getattr(module, "reset_buffers", None)
            if reset is not None:
                reset()
    left = [
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in net.named_modules()
        for name, value in (
            *module._parameters.items(),
            *module._buffers.items(),
            *vars(module).items(),
        )
        if isinstance(value, torch.Tensor) and value.is_meta
    ]
    if left:
        raise PluginError(
            f"{where}: {listed(left)} of {type(net).__name__} are in no state dict and were left without values. Make "
            "them in `reset_buffers()`, which is called after the weights are laid in."
        )
    return net.eval()


def refuse_not_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Raise WeightsError naming the tensors with NaN or infinity. One sum a tensor; only a suspect is looked at twice."""
    import torch

    bad = []
    for name, tensor in state.items():
        if not tensor.dtype.is_floating_point or tensor.is_meta:
            continue
        values = tensor if tensor.dtype.itemsize > 1 else tensor.float()
        if not torch.isfinite(values.sum(dtype=torch.promote_types(values.dtype, torch.float32))):
            if not torch.isfinite(values).all():
                bad.append(name)
    if bad:
        raise WeightsError(
            f"{where}: {len(bad)} tensors hold NaN or infinity: {listed(bad)}. Training diverged or a cast overflowed: "
            "use an earlier checkpoint, or store them in a wider type."
        )


def _stamp(path: Path, stat: os.stat_result, sha256: str) -> Path:
    from zoo.hub.home import home

    key = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}\0{sha256}"
    return home() / "verified" / hashlib.sha256(key.encode()).hexdigest()


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    import torch

    if not tensor.dtype.is_floating_point:
        return tensor
    narrow = tensor.dtype.itemsize < 4
    return tensor.to(dtype or (torch.float32 if narrow else tensor.dtype))


def _tied(net: nn.Module) -> list[list[str]]:
    """Names of parameters that are one and the same, in groups."""
    groups: dict[int, list[str]] = {}
    for name, parameter in net.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _source(name: str, state: Mapping[str, Tensor], tied: list[list[str]]) -> str:
    if name in state:
        return name
    return next(other for group in tied if name in group for other in group if other in state)


def _set_parameter(net: nn.Module, name: str, value: nn.Parameter) -> None:
    path, _, last = name.rpartition(".")
    setattr(net.get_submodule(path), last, value)


def _compare(
    wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], tied: list[list[str]], where: str
) -> None:
    """Raise WeightsError with a readable difference, unless names and shapes are the same."""
    twins = {name: group for group in tied for name in group}
    missing = [
        name
        for name in wanted
        if name not in state and not any(other in state for other in twins.get(name, ()))
    ]
    left = [name for name in state if name not in wanted]
    shapes = [name for name in wanted if name in state and wanted[name].shape != state[name].shape]
    if not (missing or left or shapes):
        return
    lines = [
        f"{where}: the weights do not fit the net ({len(state)} tensors in the file, {len(wanted)} in the net)."
    ]
    likely = [f"{name}{nearest(name, left)}" for name in missing[:SHOWN]] + missing[SHOWN:]
    lines += _some("missing from the file", likely)
    lines += _some("not in the net", left)
    lines += _some(
        "of another shape",
        [
            f"{name}: {tuple(state[name].shape)} in the file, {tuple(wanted[name].shape)} in the net"
            for name in shapes
        ],
    )
    lines.append(
        "The config is not the one these weights were made with, or the file belongs to another model."
    )
    raise WeightsError("\n".join(lines))


def _some(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [f"    and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [f"  {len(lines)} {title}:", *(f"    {line}" for line in lines[:SHOWN]), *more]
