"""Tensors into a net that was built on the meta device: assigned, never initialised twice.

What `load_state_dict(assign=True)` does, without its ceremony in every module: loading costs one
walk over the module tree. A state dict here is the names of parameters and persistent buffers;
extra state would need pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import PluginError, WeightsError, listed, nearest
from zoo.weights.files import read

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SHOWN = 8  # lines of each kind in a report of differences


def load_into(
    net: nn.Module,
    path: str | Path,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    sha256: str | None = None,
) -> nn.Module:
    """Lay a safetensors file into `net`, which was built on the meta device.

    See `assign`. Raises WeightsError.
    """
    return assign(net, read(path, sha256, device), str(path), dtype, device)


def assign(
    net: nn.Module,
    state: Mapping[str, Tensor],
    where: str,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
) -> nn.Module:
    """Make `state` the parameters and buffers of `net`, strictly, in evaluation mode.

    `dtype` is that of floating-point weights; without one, half precision (a way to store) becomes
    float32 (a way to compute) and wider types stay. Raises WeightsError listing the keys that are
    missing, left over or of another shape, and PluginError for a net that keeps values which are in
    no file.
    """
    wanted = net.state_dict()
    twins = _twins(net)
    _compare(wanted, state, twins, where)
    laid = {}
    for name, old in wanted.items():
        given = next(state[each] for each in (name, *twins.get(name, ())) if each in state)
        if given.dtype.is_floating_point != old.dtype.is_floating_point:
            raise WeightsError(f"{where}: {name!r} is {given.dtype}, the net has {old.dtype}.")
        laid[name] = _cast(given, dtype, device)
    _lay(net, laid)
    _reset_buffers(net, where, device)
    return net.eval()


def _lay(net: nn.Module, laid: Mapping[str, Tensor]) -> None:
    from torch import nn

    made: dict[int, nn.Parameter] = {}  # a parameter that two modules share stays one
    for prefix, module in net.named_modules(remove_duplicate=False):
        dot = f"{prefix}." if prefix else ""
        for name, old in module._parameters.items():
            if old is not None and id(old) not in made:
                made[id(old)] = nn.Parameter(laid[dot + name], old.requires_grad)
                made[id(made[id(old)])] = made[id(old)]  # a module that is met twice
            module._parameters[name] = None if old is None else made[id(old)]
        for name in module._buffers.keys() - module._non_persistent_buffers_set:
            if module._buffers[name] is not None:
                module._buffers[name] = laid[dot + name]


def _reset_buffers(net: nn.Module, where: str, device: str | torch.device) -> None:
    """Let modules make what is in no file. Raises PluginError naming what is left out."""
    import torch

    with torch.device(device):
        for module in net.modules():
            reset = getattr(module, "reset_buffers", None)
            if reset is not None:
                reset()
    left = [
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in net.named_modules()
        for values in (module._parameters, module._buffers, vars(module))
        for name, value in values.items()
        if isinstance(value, torch.Tensor) and value.is_meta
    ]
    if left:
        raise PluginError(
            f"{where}: {listed(left)} of {type(net).__name__} are in no state dict and were left "
            "without values. Make "
            "them in `reset_buffers()`, which is called after the weights are laid in."
        )


def _cast(tensor: Tensor, dtype: torch.dtype | None, device: str | torch.device) -> Tensor:
    import torch

    kind = tensor.dtype
    if kind.is_floating_point:
        kind = dtype or (torch.float32 if kind.itemsize < 4 else kind)
    return tensor.to(device, kind)


def _twins(net: nn.Module) -> dict[str, list[str]]:
    """For each name of a parameter that has several: all of them."""
    groups: dict[int, list[str]] = {}
    for name, parameter in net.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    return {name: names for names in groups.values() if len(names) > 1 for name in names}


def _compare(
    wanted: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    twins: Mapping[str, list[str]],
    where: str,
) -> None:
    """Raise WeightsError with a readable difference, unless names and shapes are the same."""
    import torch

    missing = [
        name
        for name in wanted
        if name not in state and not any(other in state for other in twins.get(name, ()))
    ]
    left = [name for name in state if name not in wanted]
    shapes = [name for name in wanted if name in state and wanted[name].shape != state[name].shape]
    if not (missing or left or shapes):
        for name, names in twins.items():
            given = [state[each] for each in names if each in state]
            if not all(torch.equal(given[0], each) for each in given[1:]):
                raise WeightsError(
                    f"{where}: {name} is one with {listed(names)} in the net, but not in the file."
                )
        return
    lines = [
        f"{where}: the weights do not fit the net ({len(state)} tensors in the file, {len(wanted)} "
        "in the net)."
    ]
    likely = [f"{name}{nearest(name, left)}" for name in missing[:SHOWN]] + missing[SHOWN:]
    lines += _some("missing from the file", likely)
    lines += _some("not in the net", left)
    lines += _some(
        "of another shape",
        [
            f"{name}: {tuple(state[name].shape)} in the file, {tuple(wanted[name].shape)} in the "
            "net"
            for name in shapes
        ],
    )
    lines.append(
        "The config is not the one these weights were made with, or the file belongs to another "
        "model."
    )
    raise WeightsError("\n".join(lines))


def _some(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [f"    and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [f"  {len(lines)} {title}:", *(f"    {line}" for line in lines[:SHOWN]), *more]
