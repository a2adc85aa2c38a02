"""ControlNets beside their U-Nets: the residuals, and what the U-Net makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo import weights
from zoo.adoption import Adoption
from zoo.bare import shapes_only
from zoo.foreign import Foreign, open_checkpoint
from zoo.foreign_models import renamed
from zoo.nn.control import Control, ControlNet, Controls
from zoo.nn.unet import UNet
from zoo.parity import Case, Runner, upcast
from zoo_ldm.layouts import _controlnet
from zoo_ldm.layouts.unet import Net
from zoo_ldm.layouts.unet import read as read_unet
from zoo_ldm.parity.nets import given, laid

_HINTS = ("hint", "control_image")


@dataclass(frozen=True)
class Pair:
    """A ControlNet and the U-Net of the same case, and the inputs of both."""

    control: ControlNet
    net: UNet
    x: Tensor
    t: Tensor
    cond: Mapping[str, Any]
    features: Tensor

    def residuals(self, weight: float | Sequence[float] = 1.0) -> list[Tensor]:
        """The ControlNet's, weighed."""
        return Control(self.control, self.features, weight).residuals(self.x, self.t, self.cond)

    def output(self, weight: float | Sequence[float] = 1.0) -> Tensor:
        """The U-Net's, controlled."""
        controls = Controls((Control(self.control, self.features, weight),))
        out: Tensor = self.net(self.x, self.t, {**self.cond, "control": controls})
        return out

    @property
    def count(self) -> int:
        """How many residuals there are."""
        return len(self.control.zeros) + 1


def part(foreign: Foreign, prefix: str, config: Mapping[str, Any] | None) -> Foreign:
    """The tensors whose names begin with `prefix`, without it."""
    cut, every = len(prefix), foreign.tensors()
    keys = {key[cut:]: shape for key, shape in foreign.keys.items() if key.startswith(prefix)}
    tensors = {key: every[prefix + key] for key in keys}
    return Foreign(foreign.path, keys, config, foreign.config_path, _tensors=tensors)


def files(case: Case) -> tuple[Foreign, Foreign] | None:
    """The ControlNet's and the U-Net's, names without prefixes; None where the case has not both."""
    found: dict[str, Foreign] = {}
    for path in case.files:
        foreign = open_checkpoint(path)
        inner = ((case.config or {}).get("model") or {}).get("params") or {}
        for prefix, role, key in (
            ("control_model.", "control", "control_stage_config"),
            ("model.diffusion_model.", "net", "unet_config"),
        ):
            if any(name.startswith(prefix) for name in foreign.keys):
                found[role] = part(foreign, prefix, inner.get(key))
        if not any(name.startswith(("control_model.", "model.")) for name in foreign.keys):
            is_control = any(name.startswith("controlnet_") for name in foreign.keys)
            config = (case.config or {}).get("controlnet" if is_control else "unet")
            found["control" if is_control else "net"] = part(foreign, "", config)
    return (found["control"], found["net"]) if len(found) == 2 else None


def pair(case: Case) -> Pair:
    """Both nets in evaluation mode, float32; every tensor is placed. Raises ValueError for what is missing."""
    both = files(case)
    found = None if both is None else _controlnet.read(both[0].keys, both[0].config)
    of_net = None if both is None else read_unet(both[1].keys, both[1].config)
    x, t, text = (given(case, name) for name in ("x", "t", "text"))
    hint = next((case.inputs[name] for name in _HINTS if name in case.inputs), None)
    if both is None or found is None or of_net is None or x is None or t is None or hint is None:
        raise ValueError("the case has not both nets, or not all of their inputs")
    control = laid_control(both[0], found)
    net = laid(both[1], of_net)
    cond = {} if text is None else {"text": text}
    return Pair(control, net, x, t.expand(len(x)), cond, control.hint(hint))


def laid_control(foreign: Foreign, found: Net) -> ControlNet:
    """The ControlNet with the weights of the file."""
    with shapes_only():
        net = ControlNet(**found.options)
    kept, where = Adoption(found.layout, {}, found.rename, (1, 1, 1), found.transforms), "control"
    weights.assign(net, {k: upcast(v) for k, v in renamed(foreign, kept, where).items()}, where)
    return net.eval()


@dataclass(frozen=True)
class ControlRunner:
    """Cases of a ControlNet and its U-Net."""

    name: str = "controlnet"

    def recognise(self, case: Case) -> bool:
        """By its inputs and the names in its files."""
        return any(name in case.inputs for name in _HINTS) and files(case) is not None

    @torch.no_grad()
    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name, with both references' ways to fade."""
        two = pair(case)
        n = two.count
        ladder = torch.logspace(-1, 0, n).tolist()
        powers = [0.825 ** (n - 1 - i) for i in range(n)]
        plain = two.net(two.x, two.t, two.cond)
        made = {
            "hint_embedding": two.features,
            "eps_controlled": two.output(),
            "eps_guess_scales": two.output(powers),
            "eps_only_mid": two.output([0.0] * (n - 1) + [1.0]),
            "eps_uncontrolled": plain,
            "uncontrolled_output": plain,
        }
        made |= {f"control.{i}": each for i, each in enumerate(two.residuals())}
        for suffix, weight in (("", 1.0), ("_scale_0.5", 0.5), ("_guess_mode", ladder)):
            *down, middle = two.residuals(weight)
            made |= {f"down_residual{suffix}.{i}": each for i, each in enumerate(down)}
            made |= {
                f"mid_residual{suffix}": middle,
                f"controlled_output{suffix}": two.output(weight),
            }
        return made


RUNNERS: list[Runner] = [ControlRunner()]
