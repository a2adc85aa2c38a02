"""The networks a card can ask for, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from zoo.nn.dit import DiT
from zoo.nn.unet import UNet

KINDS: dict[str, type[nn.Module]] = {"unet": UNet, "dit": DiT}


def network(config: Mapping[str, Any]) -> nn.Module:
    """A network of `{kind: "unet" | "dit", ...}`: net(x (B, C, H, W), t (B,), cond) -> (B, outputs, H, W).

    Raises ValueError for another kind, TypeError for an option the kind does not have.
    """
    options = dict(config)
    kind = options.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"unknown kind of network {kind!r}; there are {sorted(KINDS)}")
    return KINDS[kind](**options)
