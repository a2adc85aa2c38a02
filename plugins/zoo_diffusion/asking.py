"""What can be asked of a diffusion model: a label, a picture to begin with or to fill in, and how to score.

What a super-resolution model does not understand itself is asked of its part `base`: a label or a text of a cascade is
the first stage's, and every stage's that has labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zoo import options
from zoo.errors import RequestError
from zoo.images import Images
from zoo.model import Model
from zoo.nn.control import Controls
from zoo.nn.control import request as control
from zoo.nn.diffusion import likelihood
from zoo.nn.diffusion.starting import REQUEST, Start, begun
from zoo_diffusion import stages
from zoo_diffusion.net import DiffusionModel

OWN: dict[str, Any] = {
    **REQUEST, **likelihood.REQUEST, **control.REQUEST, "label": None, "low": None,
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A request for B pictures.

    labels      (B,) int64
    start       where to begin, and what to keep
    low         (B, C, h, w), the small pictures of a super-resolution model
    base        the model that draws them, asked for its share
    control     ControlNets with the features of their hints
    steps       of encode, decode and log_prob; 0: as the model would
    refine      rounds of correction of each step of encode
    likelihood  of log_prob: "bound" or "ode"; `exact`: the trace of the latter
    """

    labels: Tensor | None = None
    start: Start = field(default_factory=Start)
    low: Tensor | None = None
    base: Model | None = None
    control: Controls | None = None
    steps: int = 0
    refine: int = 0
    likelihood: str = "bound"
    exact: bool = False


def usual(net: DiffusionModel) -> Asked:
    """What is meant where nothing is asked for."""
    return Asked(base=net.base, likelihood=likelihood.usual(net.process))


def asked(net: DiffusionModel, request: Mapping[str, Any], batch: int) -> Asked:
    """Read a request. Raises RequestError for what is not known, or does not fit the model."""
    own, passed = _shared(net, request)
    wanted = options.read(own, "condition", **OWN)
    like = net.like()
    labels = None
    if wanted.label is not None:
        each = options.labels(wanted.label, net.labels, batch)
        labels = torch.tensor(each, device=like.device)
    start = begun(wanted, net.image, batch, like)
    kind, exact = likelihood.asked(wanted, net.process)
    low, base = _small(net, wanted.low, batch, like), net.base
    if base is not None and low is None:
        base = stages.conditioned(net, base, passed, start, batch)
    controls = control.controls(wanted, net, net.image, batch)
    return Asked(labels, start, low, base, controls, wanted.steps, wanted.refine, kind, exact)


def _shared(
    net: DiffusionModel, request: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What of a request is asked of the model itself, and what of its part `base`."""
    if net.base is None or request.get("low") is not None:
        return request, {}
    own = {key: it for key, it in request.items() if key in OWN and (key != "label" or net.labels)}
    passed = {key: it for key, it in request.items() if key not in own}
    if "label" in own and net.base.card.config.get("classes"):
        passed["label"] = own["label"]
    return own, passed


def _small(net: DiffusionModel, given: Any, batch: int, like: Tensor) -> Tensor | None:
    if given is None:
        return None
    if not net.low:
        raise RequestError(
            "low is the small picture of a super-resolution model, which this is not."
        )
    images = Images.read(given, net.low).tensor.to(like.device, like.dtype)
    if tuple(images.shape[1:]) != net.small:
        raise RequestError(
            f"low must be pictures {net.small} (C, h, w), {net.scale} times smaller than the model's, is "
            f"{tuple(images.shape[1:])}."
        )
    return torch.stack(options.one_each(tuple(images), batch, "low"))
