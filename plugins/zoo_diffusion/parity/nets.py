"""U-Nets and transformers that denoise: one call, and what they make of the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.nn.dit import Block, DiT
from zoo.nn.time import TimeEmbedding
from zoo.nn.unet import UNet
from zoo.parity import Case, Runner
from zoo_diffusion.parity.adopted import adopted, found

_PICTURES, _TIMES = ("x", "sample", "hidden_states"), ("timesteps", "timestep", "t")
_LABELS, _LOW = ("y", "class_labels", "label"), ("low_res", "low")


@dataclass(frozen=True)
class NetRunner:
    """Cases of the layouts that begin with `layout`: output = net(x, t, label or small picture)."""

    name: str
    layouts: tuple[str, ...]

    def recognise(self, case: Case) -> bool:
        """By its files and inputs."""
        if _first(case.inputs, _PICTURES) is None or _first(case.inputs, _TIMES) is None:
            return False
        adoption = found(case)
        return adoption is not None and adoption.layout in self.layouts

    @torch.no_grad()
    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        net = adopted(case)
        if not isinstance(net, UNet | DiT):
            raise TypeError(f"{type(net).__name__} is not a net that denoises")
        x, t = _first(case.inputs, _PICTURES), _first(case.inputs, _TIMES)
        if x is None or t is None:
            raise ValueError("the case has no pictures or no times")
        given = {"label": _first(case.inputs, _LABELS), "low": _first(case.inputs, _LOW)}
        cond = {key: value for key, value in given.items() if value is not None}
        times = t.expand(len(x)) if t.ndim == 0 else t
        clock = _clock(net)
        return {
            "output": net(x, times, cond),
            "t_emb": clock.features(times),
            "time_embedding": clock(times),
        }


def _clock(net: UNet | DiT) -> TimeEmbedding:
    if isinstance(net, UNet):
        return net.time
    if net.conditions is not None:
        return net.conditions.time
    first = net.blocks[0]
    if not isinstance(first, Block) or first.conditions is None:
        raise TypeError("a DiT without a time embedding")
    return first.conditions.time


def _first(given: Mapping[str, Tensor], names: tuple[str, ...]) -> Tensor | None:
    return next((given[name] for name in names if name in given), None)


RUNNERS: list[Runner] = [
    NetRunner("openai-net", ("openai-unet", "openai-upsampler")),
    NetRunner("diffusers-unet2d", ("diffusers-unet2d",)),
    NetRunner("dit", ("diffusers-dit", "dit")),
]
