"""What the runners of vector-quantize-pytorch's classes share: options and projections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import ForeignError
from zoo.parity import Case


def is_class(case: Case, name: str) -> bool:
    """Whether meta.json names this class of the package as the source."""
    source = case.meta.get("source", {})
    return bool(source.get("package") == "vector-quantize-pytorch" and source.get("class") == name)


def refuse(config: Mapping[str, Any], known: Collection[str], name: str) -> None:
    """Raise ForeignError for an option that is switched on and that ours does not have."""
    for key, value in config.items():
        if key not in known and value not in (None, False, 0, 0.0):
            raise ForeignError(
                f"{name}: option {key}={value!r} is not supported; "
                f"known: {', '.join(sorted(known))}"
            )


def used(weights: Mapping[str, Tensor], patterns: Collection[str]) -> None:
    """Raise ForeignError if the file has a key that nothing of ours takes."""
    left = [key for key in weights if not any(fnmatch(key, pattern) for pattern in patterns)]
    if left:
        raise ForeignError(f"keys that no part of ours takes: {left}")


def linear(weights: Mapping[str, Tensor], prefix: str) -> nn.Linear:
    """An nn.Linear from PREFIX.weight and, if there, PREFIX.bias."""
    weight, bias = weights[f"{prefix}.weight"], weights.get(f"{prefix}.bias")
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    made.load_state_dict(state)
    return made


def projections(weights: Mapping[str, Tensor], wanted: bool) -> tuple[nn.Module, nn.Module]:
    """project_in and project_out, the first with a LayerNorm after it if the file has one."""
    if not wanted:
        return nn.Identity(), nn.Identity()
    if "project_in.0.weight" not in weights:
        return linear(weights, "project_in"), linear(weights, "project_out")
    norm = nn.LayerNorm(len(weights["project_in.1.weight"]))
    with torch.no_grad():
        norm.weight.copy_(weights["project_in.1.weight"])
        norm.bias.copy_(weights["project_in.1.bias"])
    return nn.Sequential(linear(weights, "project_in.0"), norm), linear(weights, "project_out")
