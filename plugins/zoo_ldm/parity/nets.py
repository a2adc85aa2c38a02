"""Conditional U-Nets: one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo import weights
from zoo.adoption import Adoption
from zoo.bare import shapes_only
from zoo.foreign import Foreign
from zoo.foreign_models import renamed
from zoo.nn.unet import UNet
from zoo.parity import Case, Runner, upcast
from zoo_ldm.layouts.unet import Net, read

_NAMES = {
    "x": ("x", "sample"),
    "t": ("timesteps", "timestep", "t"),
    "text": ("context", "encoder_hidden_states"),
    "label": ("y", "class_labels"),
}


def given(case: Case, name: str) -> Tensor | None:
    """An input by our name for it."""
    return next((case.inputs[each] for each in _NAMES[name] if each in case.inputs), None)


def laid(foreign: Foreign, found: Net) -> UNet:
    """The net in evaluation mode, float32, with the weights of the file; every tensor is placed."""
    with shapes_only():
        net = UNet(**found.options)
    where, kept = (
        str(foreign.path),
        Adoption(found.layout, {}, found.rename, (1, 1, 1), found.transforms),
    )
    weights.assign(net, {k: upcast(v) for k, v in renamed(foreign, kept, where).items()}, where)
    return net.eval()


@dataclass(frozen=True)
class NetRunner:
    """Cases of a U-Net alone: output = net(x, t, text and label)."""

    name: str = "ldm-unet"

    def recognise(self, case: Case) -> bool:
        """By its inputs and the names in its file."""
        if given(case, "text") is None or given(case, "x") is None or len(case.files) != 1:
            return False
        foreign = case.checkpoint()
        return read(foreign.keys, foreign.config) is not None

    @torch.no_grad()
    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        foreign = case.checkpoint()
        found = read(foreign.keys, foreign.config)
        x, t = given(case, "x"), given(case, "t")
        if found is None or x is None or t is None:
            raise ValueError("the case has no net, no latents or no times")
        told = {name: given(case, name) for name in ("text", "label")}
        cond = {name: value for name, value in told.items() if value is not None}
        return {"output": laid(foreign, found)(x, t.expand(len(x)), cond)}


RUNNERS: list[Runner] = [NetRunner()]
