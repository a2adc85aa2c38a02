"""What training a ControlNet minimises: its base's own objective, with the base frozen and told of the hint.

The hint is made from each training picture by the annotator of the net's kind, so that any set of pictures will do;
labels and texts are dropped as the base's objective drops them (Zhang et al., 2023, arXiv:2302.05543, section 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from zoo import annotate, options
from zoo.errors import RequestError
from zoo.nn.control import Control, ControlNet, Controls
from zoo.train.objective import Batch, Objective
from zoo_ldm.controlled import ControlModel

OWN = ("annotator", "annotate", "preview")


@dataclass(frozen=True)
class Settings:
    """The recipe's [objective] table; what is not here is the base's own."""

    annotator: str = ""  # of `zoo.annotate`; "": the kind of the net's hints
    annotate: Mapping[str, Any] = field(default_factory=dict)  # the annotator's options
    preview: Mapping[str, Any] = field(default_factory=dict)  # sampling options of the grids


class Telling:
    """Adds a ControlNet's residuals to what a network is told, while `features` of a hint are set."""

    def __init__(self, control: ControlNet) -> None:
        self.control = control
        self.features: Tensor | None = None

    def __call__(self, network: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """A forward pre-hook of net(x, t, cond)."""
        if self.features is None:
            return given
        x, t, *rest = given
        cond = rest[0] if rest and rest[0] is not None else {}
        return x, t, {**cond, "control": Controls((Control(self.control, self.features),))}


def objectives(net: ControlModel, table: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective; `table` is the recipe's [objective]. Raises RequestError for what cannot be trained so."""
    own = {key: value for key, value in table.items() if key in OWN}
    settings = options.settings(Settings, own, "[objective] of a ControlNet")
    base, kind = net.base, settings.annotator or net.kind
    if kind not in annotate.KINDS or kind == "pose":
        raise RequestError(
            f"[objective] annotator = {kind!r} makes no hints from pictures; take one of "
            f"{', '.join(each for each in annotate.KINDS if each != 'pose')}."
        )
    rest = {key: value for key, value in table.items() if key not in OWN}
    if rest.get("mirror") or rest.get("move"):
        raise RequestError(
            "[objective] mirror and move change what the base sees of a picture after its hint is made: leave them out."
        )
    theirs = base.hooks.call("objectives", net=base.net, recipe=rest)
    if len(theirs) != 1 or theirs[0].module is not None:
        raise RequestError(
            f"{base.card.title} is trained by {len(theirs)} objectives; a ControlNet needs a base with one."
        )
    network: Any = base.net.network
    base.net.requires_grad_(False).eval()
    telling = Telling(net.control)
    network.register_forward_pre_hook(telling)

    def hints(images: Tensor) -> Tensor:
        found = annotate.annotate(kind, images.clamp(-1, 1), **settings.annotate).tensor
        return found[:, : net.control.hint.channels]

    def loss(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        images = batch["images"]
        base.to(images.device)
        telling.features = net.control.hint((hints(images) + 1) / 2)
        try:
            found: tuple[Tensor, Mapping[str, Tensor | float]] = theirs[0].loss(batch, step)
        finally:
            telling.features = None
        return found

    def preview(batch: Batch) -> Tensor:
        from zoo.nn.diffusion.sampling import unwatched

        images = batch["images"]
        shown = hints(images)
        request: dict[str, Any] = {net.kind: shown}
        if "captions" in batch and getattr(network, "context", None):
            request["text"] = list(batch["captions"])
        if "labels" in batch and getattr(network, "classes", None):
            request["label"] = batch["labels"]
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        process: Any = base.net.process
        chosen = {"steps": min(20, process.steps), **settings.preview}
        drawn = net.drawn(
            len(images), net.asked(request, len(images)), chosen, generator, unwatched
        )
        both = [shown.expand(-1, images.shape[1], -1, -1).to(drawn), drawn.clamp(-1, 1)]
        return torch.stack(both, dim=1).flatten(0, 1)

    return [Objective("control", list(net.control.parameters()), loss, preview=preview)]
