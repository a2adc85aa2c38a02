"""Autoencoders of continuous latents: latent diffusion's and diffusers' AutoencoderKL, TAESD and AutoencoderTiny."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log, pi

import torch
from torch import Tensor

from zoo import weights
from zoo.adoption import Adoption
from zoo.bare import shapes_only
from zoo.errors import ForeignError
from zoo.foreign import Foreign, joined
from zoo.foreign_models import renamed
from zoo.parity import Case, Runner, upcast
from zoo_vq.autoencoder import layouts
from zoo_vq.autoencoder.net import Autoencoder, autoencoder


def opened(case: Case) -> Foreign | None:
    """The case's weights: its only file, or those of an encoder and a decoder; None where it has others."""
    if len(case.files) == 1:
        return case.checkpoint()
    found = {
        half: path for half in ("encoder", "decoder") for path in case.files if half in path.name
    }
    return joined(case.folder, found, None) if len(case.files) == len(found) == 2 else None


def adopted(foreign: Foreign) -> tuple[Adoption, Autoencoder]:
    """The net in evaluation mode, float32; every tensor is placed, or dropped by name."""
    adoption = layouts.adopt(foreign.keys, foreign.config)
    if adoption is None:
        raise ForeignError(f"no layout recognises {foreign.path}")
    with shapes_only():
        net = autoencoder(adoption.config)
    where = str(foreign.path)
    state = {key: upcast(value) for key, value in renamed(foreign, adoption, where).items()}
    weights.assign(net, state, where)
    return adoption, net.eval()


@dataclass(frozen=True)
class AutoencoderRunner:
    """Cases of the layouts `names`; `outputs` computes what is recorded from case and net."""

    name: str
    names: tuple[str, ...]
    outputs: Callable[[Case, Autoencoder, Adoption], Mapping[str, Tensor]]

    def recognise(self, case: Case) -> bool:
        """By its files."""
        foreign = opened(case) if "x" in case.inputs else None
        if foreign is None:
            return False
        adoption = layouts.adopt(foreign.keys, foreign.config)
        return adoption is not None and adoption.layout in self.names

    @torch.no_grad()
    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        foreign = opened(case)
        if foreign is None:
            raise ForeignError(f"{case.folder} holds neither one file nor an encoder and a decoder")
        adoption, net = adopted(foreign)
        return self.outputs(case, net, adoption)


def _gaussian(case: Case, net: Autoencoder, adoption: Adoption) -> dict[str, Tensor]:
    moments = net.moments(case.inputs["x"])
    mean, logarithm = moments.chunk(2, 1)
    logarithm = logarithm.clamp(-30, 20)
    std = (logarithm / 2).exp()
    z = mean + std * case.inputs["noise"]
    kl = (mean.square() + std.square() - 1 - logarithm).sum((1, 2, 3)) / 2
    nll = (log(2 * pi) + logarithm + ((z - mean) / std).square()).sum((1, 2, 3)) / 2
    return {
        "moments": moments,
        "mean": mean,
        "logvar": logarithm,
        "std": std,
        "z": z,
        "kl": kl,
        "nll": nll,
        "scaled_latents": (z - net.shift) * net.scale,
        "reconstruction_mode": net.decode(mean),
        "reconstruction_sample": net.decode(z),
    }


def _tiny(case: Case, net: Autoencoder, adoption: Adoption) -> dict[str, Tensor]:
    native, x = adoption.layout == "taesd", case.inputs["x"]
    latents = net.moments(2 * x - 1 if native else x)
    reconstruction, decoded = net.decode(latents), net.decode(case.inputs["z"])
    config = case.config or {}
    reach, middle = config.get("latent_magnitude", 3), config.get("latent_shift", 0.5)
    stored = (latents / (2 * reach) + middle).clamp(0, 1)  # of files; no diffusion model sees it
    return {
        "latents": latents,
        "scaled_latents": stored,
        "unscaled_latents": (stored - middle) * 2 * reach,
        "reconstruction": (reconstruction + 1) / 2 if native else reconstruction,
        "decoded_z": (decoded + 1) / 2 if native else decoded,
    }


RUNNERS: list[Runner] = [
    AutoencoderRunner(
        "autoencoder-kl", ("compvis-autoencoderkl", "diffusers-autoencoderkl"), _gaussian
    ),
    AutoencoderRunner("taesd", ("taesd", "diffusers-autoencodertiny"), _tiny),
]
