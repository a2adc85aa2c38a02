"""Whole latent diffusion models in one file: what the U-Net is told, latents, its answer, and CompVis' two samplers.

The model is adopted as a user's file would be, with its average where it has one; outputs that the reference made with
the raw weights are made with those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.foreign_models import load_foreign
from zoo.nn.diffusion import Path, Predicted, samplers
from zoo.nn.diffusion.levels import Level
from zoo.nn.diffusion.spacing import pndm_path
from zoo.nn.unet import UNet
from zoo.parity import Case, Runner
from zoo_ldm.layouts.compvis import NET
from zoo_ldm.layouts.unet import read
from zoo_ldm.net import LatentDiffusion
from zoo_ldm.parity.controlnets import part
from zoo_ldm.parity.nets import laid

_DRAWN = re.compile(r"(ddim|plms)(\d+)(?:_cfg([\d.]+))?(_ema)?$")
_PICTURE = re.compile(r"(?:decoded_(ddim|plms)|(ddim|plms)\d+_image)$")


@dataclass(frozen=True)
class Whole:
    """A case's model, and its U-Net as the raw weights have it."""

    case: Case
    net: LatentDiffusion
    raw: UNet

    @property
    def autoencoder(self) -> Any:
        """The first stage's net."""
        return self.net.stage.model.net

    def told(self, *names: str) -> Tensor | None:
        """The rows of the first of these inputs that there is: labels or tokens."""
        found = next((self.case.inputs[name] for name in names if name in self.case.inputs), None)
        if found is None:
            return None
        if self.net.names is not None:
            return self.net.labelled(found)["text"]
        if self.net.reader is None:
            raise ValueError("the case has tokens, and its file no text encoder")
        return self.net.reader(found)

    def encoded(self, outputs: dict[str, Tensor]) -> Tensor:
        """The latents of the pictures that the U-Net sees; moments are noted in `outputs`."""
        x, stage = self.case.inputs["x"], self.net.stage
        if stage.model.card.latent_kind == "tokens":
            z: Tensor = self.autoencoder.latents(x)
        else:
            outputs["moments"] = self.autoencoder.moments(x)
            mean, logarithm = outputs["moments"].chunk(2, 1)
            noise = self.case.inputs["posterior_noise"]
            z = mean + (logarithm.clamp(-30, 20) / 2).exp() * noise
        return (z - stage.shift) * stage.scale

    def decoded(self, z: Tensor) -> Tensor:
        """The pictures of latents, not clamped; a VQ autoencoder quantises first."""
        stage = self.net.stage
        raw = z / stage.scale + stage.shift
        if stage.model.card.latent_kind == "tokens":
            raw = self.autoencoder.quantize(raw).codes
        out: Tensor = self.autoencoder.decode(raw)
        return out

    def drawn(self, kind: str, steps: int, weight: float, averaged: bool) -> Tensor:
        """What CompVis' DDIM or PLMS makes of `x_T`: times i (T // n) + 1, down to the schedule's first level."""
        process = self.net.process
        total = process.steps
        times = [t + 1 for t in range(0, total, total // steps)][::-1]
        levels = [process.level(float(t)) for t in times]
        path = Path.through([*levels, process.level(0.0)], process.at)
        unet: Any = self.net.network if averaged else self.raw
        with_it = self.told("class_label", "tokens")
        without = self.told("null_label", "empty_tokens")

        def denoise(x: Tensor, level: Level) -> Predicted:
            t = torch.full((len(x),), float(level.time))
            out = unet(x, t, {} if with_it is None else {"text": with_it})
            if weight != 1 and without is not None:
                plain = unet(x, t, {"text": without.expand(len(x), -1, -1)})
                out = plain + weight * (out - plain)
            return process.read(out, x, level)

        sampler: Callable[..., Any] = samplers.ddim if kind == "ddim" else samplers.pndm
        path = path if kind == "ddim" else pndm_path(path)
        start: Tensor = self.case.inputs["x_T"]
        last, still = start, torch.zeros_like(start)
        for state in sampler(denoise, start, path, samplers.Options(), lambda: still):
            last = state.x
        return last


@dataclass(frozen=True)
class WholeRunner:
    """Cases of one file with U-Net, autoencoder and what the U-Net is told."""

    name: str = "ldm-whole"

    def recognise(self, case: Case) -> bool:
        """By its inputs and the names in its file."""
        if not {"x", "t", "noise"} <= set(case.inputs) or len(case.files) != 1:
            return False
        keys = case.checkpoint().keys
        return (
            any(key.startswith(NET) for key in keys)
            and any(key.startswith("first_stage_model.") for key in keys)
            and not any(key.startswith("control_model.") for key in keys)
        )

    @torch.no_grad()
    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        foreign = case.checkpoint()
        params = (case.config or {}).get("model", {}).get("params", {})
        inner = part(foreign, NET, params.get("unet_config"))
        found = read(inner.keys, inner.config)
        net = load_foreign(foreign.path).net
        if found is None or not isinstance(net, LatentDiffusion):
            raise ValueError(f"{foreign.path} is no latent diffusion model")
        whole, made = Whole(case, net, laid(inner, found)), dict[str, Tensor]()
        z, t, noise = whole.encoded(made), case.inputs["t"], case.inputs["noise"]
        context = whole.told("class_label", "tokens")
        nothing = whole.told("null_label", "empty_tokens")
        made |= {} if context is None else {"context": context}
        made |= {} if nothing is None else {"uncond_context": nothing}
        x = net.process.levels(t, z).noised(z, noise)
        told = {} if context is None else {"text": context}
        eps = whole.raw(x, t.float(), told)
        loss = (eps - noise).square().mean().view(1)
        made |= {"z": z, "x_noisy": x, "eps": eps, "loss_simple": loss, "loss": loss}
        made |= {"eps_ema": net.network(x, t.float(), told), "decoded_z": whole.decoded(z)}
        made["reconstruction"] = made["decoded_z"]
        last: dict[str, Tensor] = {}
        for name in sorted(case.outputs):
            if drawn := _DRAWN.fullmatch(name):
                kind, steps, weight, ema = drawn.groups()
                made[name] = whole.drawn(kind, int(steps), float(weight or 1), bool(ema))
                last[kind] = made[name]
        for name in case.outputs:
            if picture := _PICTURE.fullmatch(name):
                made[name] = whole.decoded(last[picture[1] or picture[2]])
        return made


RUNNERS: list[Runner] = [WholeRunner()]
