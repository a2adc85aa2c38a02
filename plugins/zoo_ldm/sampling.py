"""Drawing pictures: what the net is told, and the way from latents to pictures; the run is `zoo.nn.diffusion.sampling`.

Options beyond those of `zoo.nn.diffusion.choosing` (where `clip` is off, since latents have no range):

    together   pictures decoded at a time; 0: all
    tile       pixels a side of the tiles that pictures are decoded in; 0: as the autoencoder does it
    offload    on a device of little memory: text encoder and autoencoder wait in the computer's memory while the
               network works, text encoder, network and ControlNets while the autoencoder does
    scheduler  what a scheduler_config.json of diffusers holds, followed to the letter (`zoo_ldm.scheduled`), unless
               sampler, spacing or offset is given
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from typing import Any

import torch
from torch import Generator, Tensor, nn

from zoo import rng
from zoo.errors import RequestError
from zoo.hookspecs import Progress
from zoo.nn.diffusion import choosing, inversion
from zoo.nn.diffusion.choosing import Chosen
from zoo.nn.diffusion.sampling import Run, Told
from zoo.nn.diffusion.sampling import sample as sampled
from zoo_ldm import filling, maps, scheduled
from zoo_ldm.asking import Asked, Rows, missing, texts, usual
from zoo_ldm.net import LatentDiffusion

OWN: dict[str, Any] = {"clip": False, "together": 0, "tile": 0, "offload": False, "scheduler": None}
OURS = {"sampler", "spacing", "offset"}  # each takes the place of a scheduler


def sample(
    net: LatentDiffusion,
    count: int,
    cond: Asked | None,
    given: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """(count, C, H, W) in [-1, 1]; picture i depends on (seed, i) alone. What a mask keeps is the picture's own.

    Raises RequestError for options that do not fit, Unsupported without an autoencoder.
    """
    asked, stage = cond or usual(net), net.stage
    found = chosen(net, given, asked)
    streams = rng.streams(generator, count)
    if net.classes and asked.labels is None and not net.null:
        labels = (rng.uniform(streams, device=net.like().device) * net.classes).long()
        asked = replace(asked, labels=labels.clamp(max=net.classes - 1))
    run = Run(net, count, found, told_of(net, asked, count), asked.start)
    shown = net.preview or stage
    offload = found.by_name.offload
    reading = net.reader if isinstance(net.reader, nn.Module) else None
    with resting(offload, reading):
        with resting(offload, stage.model.net):
            z = sampled(run, streams, progress, shown.pictures)
        nets = () if asked.control is None else (each.net for each in asked.control.each)
        with resting(offload, net.network, *nets):
            pictures = stage.pictures(z, found.by_name.together, found.by_name.tile)
    image, mask = asked.pixels.image, asked.pixels.mask
    return pictures if image is None or mask is None else pictures * mask + image * (1 - mask)


@contextmanager
def resting(wanted: bool, *nets: nn.Module | None) -> Iterator[None]:
    """These nets in the computer's memory meanwhile, if `wanted`; afterwards where they were."""
    moved = [each for each in nets if each is not None] if wanted else []
    places = [next(each.parameters()).device for each in moved]
    for each in moved:
        each.to("cpu")
    try:
        yield
    finally:
        for each, place in zip(moved, places, strict=True):
            each.to(place)


def chosen(net: LatentDiffusion, given: Mapping[str, Any], asked: Asked) -> Chosen:
    """Read options. Raises RequestError for what is not known, or does not fit the model or what else is asked."""
    found = choosing.chosen(net.process, given, {**choosing.DEFAULTS, **OWN})
    how = found.by_name
    if how.scheduler is not None and not OURS & set(given):
        found = scheduled.chosen(net.process, found, asked.start)
    choosing.within(how, {"together": (0, inf), "tile": (0, inf)})
    unit = 4 * (net.image[1] // net.diffused[1])
    if how.tile % unit:
        raise RequestError(
            f"tile must be a multiple of {unit} pixels, 4 of this model's latents; got {how.tile}."
        )
    told = any(each is not None for each in (asked.text, asked.labels, asked.map))
    if how.guidance != 1 and asked.negative is None:
        if not net.null:
            raise RequestError(
                f"guidance = {how.guidance} weighs the condition against none, and this model was not trained without "
                "one (`null` in its card's config): leave guidance out, or give a negative text."
            )
        if not told:
            raise RequestError(
                "guidance weighs a text, a label or a map: say which with condition(text=...)."
            )
    if how.guidance == 1 and asked.negative is not None:
        raise RequestError(
            "negative is what guidance leads away from, and guidance is 1, none: give guidance=3.0, say."
        )
    if how.resample > 1 and asked.start.mask is None:
        raise RequestError("resample is for filling in: give condition(image=..., mask=...).")
    return found


def told_of(net: LatentDiffusion, asked: Asked, count: int) -> Told:
    """What the net is told. Raises RequestError for a condition that it cannot do without."""
    given: dict[str, Any] = {}
    without: dict[str, Any] = {}
    if asked.concat is not None:
        given["concat"] = asked.concat
    elif net.beside:
        raise missing(net)
    if asked.control is not None:
        given["control"] = asked.control
    nothing = None
    if net.reads:
        if asked.text is None and not net.null:
            raise RequestError("This model needs a text for each picture: condition(text=...).")
        nothing = asked.negative or (texts(net, "text", "", count) if net.null else None)
        text = asked.text or nothing
        if text is None or net.reader is None:
            raise RequestError(
                "This model attends to a text, and was loaded without a text encoder: give its card "
                "`parts: {text: NAME@VERSION}`."
            )
        text, nothing = _alike(text, nothing or text)
        given |= net.attended(text.rows, text.allowed)
        without |= net.attended(nothing.rows, nothing.allowed)
    if net.classes:
        if asked.labels is None and not net.null:
            raise RequestError("This model needs a label for each picture: condition(label=...).")
        none = torch.full((count,), net.classes, device=net.like().device)
        labels = none if asked.labels is None else asked.labels
        given |= net.labelled(labels)
        without |= net.labelled(none if net.null else labels)
    if net.maps is not None:
        if asked.map is None and not net.null:
            raise RequestError("This model draws from a map: condition(map=...).")
        none = net.maps.none(count)
        rows = none if asked.map is None else net.maps(asked.map)
        given, without = maps.beside(given, rows), maps.beside(without, none if net.null else rows)
    return Told(given, {**given, **without} if net.null or asked.negative is not None else None)


def _alike(one: Rows, other: Rows) -> tuple[Rows, Rows]:
    """Both with as many rows, those that are added not to be seen."""
    longest = max(one.rows.shape[1], other.rows.shape[1])

    def padded(each: Rows) -> Rows:
        batch, length, width = each.rows.shape
        if each.allowed is None or length == longest:
            return each
        more = longest - length
        rows = torch.cat([each.rows, each.rows.new_zeros(batch, more, width)], 1)
        return Rows(rows, torch.cat([each.allowed, each.allowed.new_zeros(batch, more)], 1))

    return padded(one), padded(other)


def plainly(net: LatentDiffusion, asked: Asked, count: int, what: str) -> Told:
    """What the net is told where nothing is drawn. Raises RequestError for a picture to begin with, as `told_of`."""
    if net.beside not in filling.KINDS:
        asked.pixels.unused(what)
    return told_of(net, asked, count)


def encode(net: LatentDiffusion, images: Tensor, cond: Asked | None) -> Tensor:
    """The noise (B, c, h, w) that DDIM makes the latents of pictures of."""
    asked = cond or usual(net)
    told = plainly(net, asked, len(images), "encode")
    return inversion.encode(net, net.stage.latents(images), told, asked.steps, asked.refine)


def decode(net: LatentDiffusion, latents: Tensor, cond: Asked | None) -> Tensor:
    """The pictures (B, C, H, W) that DDIM makes of noise."""
    asked = cond or usual(net)
    told = plainly(net, asked, len(latents), "decode")
    return net.stage.pictures(inversion.decode(net, latents, told, asked.steps))
