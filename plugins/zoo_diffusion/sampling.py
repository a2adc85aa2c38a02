"""Drawing pictures: what the net is told, and what pushes it; the run itself is `zoo.nn.diffusion.sampling`.

Options beyond those of `zoo.nn.diffusion.choosing`:

    classifier  weight of the part `classifier`
    augment     noise on the small picture of a super-resolution model, as a share of the schedule
    base        the options of the part `base`: {"steps": 20}

A super-resolution model is told its small picture, noised (Ho et al., 2022, arXiv:2106.15282); without one it has it
drawn by its part `base`, which may be such a model too. A stage's noise comes from (seed, picture) alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any

import torch
from torch import Generator, Tensor

from zoo import rng
from zoo.errors import RequestError, Unsupported
from zoo.hookspecs import Progress
from zoo.nn.diffusion import Level, choosing, guidance, inversion
from zoo.nn.diffusion.choosing import Chosen
from zoo.nn.diffusion.sampling import Push, Run, Told
from zoo.nn.diffusion.sampling import sample as sampled
from zoo_diffusion import stages
from zoo_diffusion.asking import Asked, usual
from zoo_diffusion.net import DiffusionModel

OWN: dict[str, Any] = {"classifier": 0.0, "augment": 0.1, "base": {}}
RANGES = {"classifier": (0, inf), "augment": (0, 1)}


def sample(
    net: DiffusionModel,
    count: int,
    cond: Asked | None,
    given: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """(count, C, H, W) in [-1, 1]; picture i depends on (seed, i) alone.

    Raises RequestError for options that do not fit, Unsupported for a model of latents.
    """
    of_pictures(net, "sample")
    asked = cond or usual(net)
    found = chosen(net, given, asked)
    streams = rng.streams(generator, count)
    if net.classes and asked.labels is None and not net.null:
        labels = (rng.uniform(streams, device=net.like().device) * net.classes).long()
        asked = replace(asked, labels=labels.clamp(max=net.classes - 1))
    base = stages.begun_by(net, asked.base, asked.low)
    if base is not None:
        low = stages.drawn(net, base, count, found.by_name.base, generator, progress)
        asked = replace(asked, low=low)
    told = told_of(net, asked, found.by_name.augment, streams)
    run = Run(net, count, found, told, asked.start, push_of(net, asked, found.by_name.classifier))
    return sampled(run, streams, progress)


def of_pictures(net: DiffusionModel, what: str) -> None:
    """Raises Unsupported for a model of latents."""
    if net.space == "latents":
        raise Unsupported(
            f"This model's x is latents {net.image} of an autoencoder that is not here, no pictures: it gives no "
            f"{what}. Load it with its autoencoder (a latent diffusion model), or draw latents: "
            "zoo.nn.diffusion.sampling.sample with model.net."
        )


def chosen(net: DiffusionModel, given: Mapping[str, Any], asked: Asked) -> Chosen:
    """Read options. Raises RequestError for what is not known, or does not fit the model or what else is asked."""
    found = choosing.chosen(net.process, given, {**choosing.DEFAULTS, **OWN})
    how = found.by_name
    choosing.within(how, RANGES)
    if how.guidance != 1 and not net.null:
        raise RequestError(
            f"guidance = {how.guidance} weighs the label against none, and this model "
            f"{'has no null label' if net.classes else 'has no labels'}: leave guidance out"
            f"{', or give classifier' if net.classifier is not None else ''}."
        )
    if how.guidance != 1 and asked.labels is None:
        raise RequestError("guidance weighs a label: say which with condition(label=...).")
    if how.classifier and net.classifier is None:
        raise RequestError(
            "classifier weighs the part `classifier`, which this model does not have: zoo.compose(name, "
            f"classifier=...){', or give guidance' if net.null else ''}."
        )
    if how.classifier and asked.labels is None:
        raise RequestError("classifier weighs a label: say which with condition(label=...).")
    if asked.labels is not None and not net.classes and not how.classifier:
        raise RequestError(
            "This model's network knows no labels, its part classifier does: say how much it weighs, classifier=1.0."
        )
    if how.resample > 1 and asked.start.mask is None:
        raise RequestError("resample is for filling in: give condition(image=..., mask=...).")
    if how.base and net.base is None:
        raise RequestError(
            "base holds the options of the model that draws the small pictures, which this model does not have: "
            "zoo.compose(name, base=...)."
        )
    return found


def told_of(net: DiffusionModel, asked: Asked, augment: float, streams: list[Generator]) -> Told:
    """What the network is told apart from the time: labels, and the small picture noised by the share `augment`.

    Raises RequestError where one that it cannot do without is missing.
    """
    told: dict[str, Any] = {} if asked.control is None else {"control": asked.control}
    if asked.labels is not None and net.classes:
        told["label"] = asked.labels
    elif net.classes and not net.null:
        raise RequestError("This model needs a label for each picture: condition(label=...).")
    if net.low:
        told |= _seen(net, asked, augment, streams)
    if "label" not in told or not net.null:
        return Told(told)
    return Told(told, {**told, "label": torch.full_like(told["label"], net.classes)})


def _seen(
    net: DiffusionModel, asked: Asked, augment: float, streams: list[Generator]
) -> dict[str, Tensor]:
    low = asked.low
    if low is None:
        raise RequestError("This model's pictures depend on small ones: condition(low=pictures).")
    if getattr(net.network, "low_time", None) is None:
        return {"low": low}
    t = max(augment * net.process.last, net.process.first)
    level = net.process.level(t if net.process.continuous else float(round(t)))
    fresh = rng.normal(streams, *low.shape[1:], device=low.device, dtype=low.dtype)
    time = torch.full((len(low),), level.time, device=low.device)
    return {"low": level.noised(low, fresh), "low_level": time}


def encode(net: DiffusionModel, images: Tensor, cond: Asked | None) -> Tensor:
    """The noise (B, C, H, W), or (B, n) of all stages of a cascade, that DDIM makes pictures of.

    A super-resolution model without a base is told the pictures' own small ones, if none are given.
    """
    of_pictures(net, "encode")
    asked = cond or usual(net)
    stages.only_stage(net, asked.low, "encode")
    base = asked.base
    if base is None and net.low and asked.low is None:
        asked = replace(asked, low=stages.as_bytes(stages.smaller(net, images)))
    if base is None:
        told = plainly(net, len(images), asked, "encode")
        return inversion.encode(net, images, told, asked.steps, asked.refine)
    low, before = stages.encoded(net, base, images)
    told = plainly(net, len(images), replace(asked, low=low), "encode")
    own = inversion.encode(net, images, told, asked.steps, asked.refine)
    return torch.cat([before.to(own), own.flatten(1)], dim=1)


def decode(net: DiffusionModel, latents: Tensor, cond: Asked | None) -> Tensor:
    """The pictures (B, C, H, W) that DDIM makes of noise."""
    of_pictures(net, "decode")
    asked = cond or usual(net)
    stages.only_stage(net, asked.low, "decode")
    base = stages.begun_by(net, asked.base, asked.low)
    if base is not None:
        low, latents = stages.decoded(net, base, latents)
        asked = replace(asked, low=low)
    told = plainly(net, len(latents), asked, "decode")
    return inversion.decode(net, latents, told, asked.steps)


def plainly(net: DiffusionModel, count: int, asked: Asked, what: str) -> Told:
    """What the net is told where nothing is drawn; the noise on a small picture is least, and always the same."""
    asked.start.unused(what)
    if asked.labels is not None and not net.classes:
        raise RequestError(
            f"The labels are those of the part classifier, which has no part in {what}: leave the label out."
        )
    return told_of(net, asked, 0.0, rng.streams(rng.generator(0), count))


def push_of(net: DiffusionModel, asked: Asked, weight: float) -> Push | None:
    """The gradient of the part `classifier`'s log p(label | x), times `weight`."""
    classifier, labels = net.classifier, asked.labels
    if not weight or classifier is None or labels is None:
        return None
    inner = next(classifier.parameters()).dtype

    def push(x: Tensor, level: Level) -> Tensor:
        t = torch.full((len(x),), level.time, device=x.device, dtype=torch.float32)

        def likely(given: Tensor) -> Tensor:
            found: Tensor = (
                classifier((given * level.scale).to(inner), t).to(x.dtype).log_softmax(1)
            )
            return found.gather(1, labels[:, None])

        return weight * guidance.gradient(likely, x)

    return push
