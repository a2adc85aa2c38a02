"""What can be asked of a latent diffusion model, alone or together.

text="noto: red apple"           or a list, one a picture; "a (red:1.3) apple" weighs a piece
negative="blurry"                what guidance leads away from, in place of no text
label=3                          or a list
image=pictures, strength=0.6     to begin with: variations of a picture
image=pictures, mask=(H, W)      to fill in where the mask is 1
low=pictures                     small ones, of a super-resolution model
map=(C, H, W)                    what is where, of a model that sees a map beside its latents or attends to one
control=..., edges=..., weight=, interval=    ControlNets, see `zoo.nn.control.request`
steps=, refine=, likelihood=, trace=          of encode, decode and log_prob
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from zoo import options
from zoo.errors import RequestError
from zoo.images import Images
from zoo.nn.control.net import Controls
from zoo.nn.control.request import REQUEST as CONTROL
from zoo.nn.control.request import controls
from zoo.nn.diffusion import likelihood
from zoo.nn.diffusion.starting import REQUEST, Start, begun
from zoo_ldm import filling, maps, prompts
from zoo_ldm.net import LatentDiffusion

OWN: dict[str, Any] = {
    **REQUEST, **likelihood.REQUEST, **CONTROL, "text": None, "negative": None, "label": None, "low": None,
    "map": None,
}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Prompts as the net attends to them: (B, L, D), and which of them may be seen (B, L); None: all."""

    rows: Tensor
    allowed: Tensor | None = None


@dataclass(frozen=True)
class Asked:
    """A request for B pictures.

    text, negative  what the net attends to, and what guidance leads away from
    labels          (B,) int64
    start           where to begin and what to keep, in latents; `pixels` the same in pictures
    concat          (B, C', h, w), what the net sees beside x; `map` likewise, what it attends to
    control         ControlNets with their hints
    steps, refine   of encode, decode and log_prob; 0: as the model would
    likelihood      of log_prob: "bound" or "ode"; `exact`: the trace of the latter
    """

    text: Rows | None = None
    negative: Rows | None = None
    labels: Tensor | None = None
    start: Start = field(default_factory=Start)
    pixels: Start = field(default_factory=Start)
    concat: Tensor | None = None
    map: Tensor | None = None
    control: Controls | None = None
    steps: int = 0
    refine: int = 0
    likelihood: str = "bound"
    exact: bool = False


def usual(net: LatentDiffusion) -> Asked:
    """What is meant where nothing is asked for."""
    return Asked(likelihood=likelihood.usual(net.process))


def asked(net: LatentDiffusion, request: Mapping[str, Any], batch: int) -> Asked:
    """Read a request. Raises RequestError for what is not known, or does not fit the model."""
    wanted = options.read(request, "condition", **OWN)
    like = net.like()
    labels = None
    if wanted.label is not None:
        labels = torch.tensor(options.labels(wanted.label, net.classes, batch), device=like.device)
    pixels = begun(wanted, net.image, batch, like)
    start, concat = pixels, _beside(net, wanted, pixels, batch, like)
    if pixels.image is not None:
        start = pixels.within(net.stage.latents)
    kind, exact = likelihood.asked(wanted, net.process)
    attended = None
    if net.maps is not None and wanted.map is not None:
        attended = maps.read(wanted.map, net.maps.channels, net.diffused[1:], batch, like)
    return Asked(
        texts(net, "text", wanted.text, batch), texts(net, "negative", wanted.negative, batch), labels, start, pixels,
        concat, attended, controls(wanted, net, net.image, batch), wanted.steps, wanted.refine, kind,
        exact,
    )  # fmt: skip


def texts(net: LatentDiffusion, what: str, given: Any, batch: int) -> Rows | None:
    """Prompts as the net attends to them. Raises RequestError for a net that reads none, and for what is no prompt."""
    if given is None:
        return None
    if net.reader is None:
        mapped = net.maps is not None or net.beside == "map"
        takes = "label=..." if net.classes else "map=..." if mapped else "no condition of its own"
        wants = (
            "it attends to texts, and was loaded without its text encoder: give its card `parts: {text: NAME@VERSION}`"
            if net.reads
            else f"so it cannot be told a text; it takes {takes}"
        )
        raise RequestError(f"{what} = {given!r:.60}: this model has no text encoder, {wants}.")
    each = tuple(given) if isinstance(given, list | tuple) else (given,)
    rows, allowed = prompts.rows(net.reader, options.one_each(each, batch, what), net.like())
    return Rows(rows, allowed)


def missing(net: LatentDiffusion) -> RequestError:
    """What is said where the net was not given what it sees beside its latents."""
    if net.beside in filling.KINDS:
        return RequestError("This model fills in pictures: condition(image=pictures, mask=mask).")
    return RequestError(f"This model draws from {net.beside}: condition({net.beside}=...).")


def _beside(
    net: LatentDiffusion, wanted: SimpleNamespace, start: Start, batch: int, like: Tensor
) -> Tensor | None:
    for name in ("low", "map"):
        takes = net.beside == name or (name == "map" and net.maps is not None)
        if getattr(wanted, name) is not None and not takes:
            sees = (
                f"sees {net.beside!r} beside its latents"
                if net.beside
                else "sees nothing beside its latents"
            )
            raise RequestError(f"{name} was given, and this model {sees}.")
    sides = net.diffused[1:]
    if net.beside in filling.KINDS:
        if start.image is None or start.mask is None:
            raise missing(net)
        return filling.concatenated(net.beside, net.stage, start.image, start.mask, sides)
    if not net.beside:
        return None
    given = getattr(wanted, net.beside)
    if given is None:
        raise missing(net)
    if net.beside == "map":
        return maps.read(given, net.concat, sides, batch, like)
    low = Images.read(given, net.image[0]).tensor.to(like)
    if tuple(low.shape[1:]) != (net.image[0], *sides):
        raise RequestError(
            f"low must be pictures {(net.image[0], *sides)} (C, h, w), as large as this model's latents; got "
            f"{tuple(low.shape[1:])}."
        )
    return torch.stack(options.one_each(tuple(low), batch, "low"))
