"""Drawing pictures: the net as samplers ask it, and the run from noise to a picture.

With a mask (1 where drawn anew) the foreseen picture is the given one where it is kept, x_0 <- m x_0 + (1 - m) given,
so that any sampler follows q(x_s | x_t, x_0) there; with `resample` each stretch of steps is noised and taken again,
so that both parts agree (Lugmayr et al., 2022, arXiv:2201.09865). A super-resolution model is told its small picture,
noised (Ho et al., 2022, arXiv:2106.15282); without one it draws it from its part `base`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from math import ceil
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor

from zoo import rng
from zoo.errors import RequestError
from zoo.hookspecs import Progress
from zoo.images import Images
from zoo.model import Model
from zoo.nn.diffusion import Level, Predicted, guidance, samplers
from zoo.nn.diffusion.levels import raised
from zoo.nn.diffusion.predictions import agreeing
from zoo_diffusion.asking import Asked
from zoo_diffusion.choosing import Chosen, chosen
from zoo_diffusion.net import DiffusionModel

T = TypeVar("T")


def sample(
    net: DiffusionModel,
    count: int,
    cond: Asked | None,
    given: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """(count, C, H, W) in [-1, 1]; picture i depends on (seed, i) alone."""
    asked = cond or Asked()
    found = chosen(net, given, asked)
    x = torch.empty(0)
    run = states(net, count, asked, found, generator, progress)
    for state in progress(run, total=evaluations(found, asked), label="steps"):
        x = state.x
    return x


def unwatched(iterable: Iterable[T], total: int | None = None, label: str = "") -> Iterable[T]:
    """The items of `iterable`, without a bar."""
    return iterable


def previews(
    model: Model, count: int, seed: int | None, given: Mapping[str, Any]
) -> Iterator[Images]:
    """The clean pictures (count, C, H, W) foreseen at every evaluation of the net, the last being the picture drawn."""
    net, generator = model.net, rng.generator(seed)
    if not isinstance(net, DiffusionModel):
        raise RequestError(
            f"previews are of diffusion models; {model.name} is of the family {model.family!r}."
        )
    with torch.no_grad():
        asked = Asked()
        if model.request:
            asked = model.hooks.call("condition", net=net, request=model.request, batch=count)
        found = chosen(net, {**model.card.sampling, **given}, asked)
    run = states(net, count, asked, found, generator, unwatched)
    while True:
        with torch.no_grad():
            state = next(run, None)
        if state is None:
            return
        yield Images(state.x0.clamp(-1, 1))


def states(
    net: DiffusionModel,
    count: int,
    asked: Asked,
    found: Chosen,
    generator: Generator,
    progress: Progress,
) -> Iterator[samplers.State]:
    """Every state of a run; see `zoo.nn.diffusion.samplers`."""
    streams, like = rng.streams(generator, count), net.like()

    def noise() -> Tensor:
        return rng.normal(streams, *net.image, device=like.device, dtype=like.dtype)

    if net.classes and asked.labels is None and not net.null:
        labels = (rng.uniform(streams, device=like.device) * net.classes).long()
        asked = replace(asked, labels=labels.clamp(max=net.classes - 1))
    told = told_of(net, count, asked, found.by_name.augment, streams, generator, progress)
    denoise = denoiser(net, found, asked, told)
    path = found.path
    if asked.image is not None and asked.mask is None:
        path = path.part(len(path) - max(1, round(asked.strength * len(path))))
    first = path.steps[0].at
    if asked.image is not None:
        x = first.noised(asked.image, noise())
    else:
        x = noise() * (first.sigma if net.process.start != 1 else 1.0)
    if asked.mask is None or found.by_name.resample == 1:
        yield from found.method.sampler(denoise, x, path, found.options, noise)
        return
    for start in range(0, len(path), found.by_name.jump):
        part = path.part(start, start + found.by_name.jump)
        for again in range(found.by_name.resample):
            if again:
                x = raised(x, part.steps[-1].to, part.steps[0].at, noise())
            for state in found.method.sampler(denoise, x, part, found.options, noise):
                x = state.x
                yield state


def evaluations(found: Chosen, asked: Asked) -> int:
    """How often the net is asked, for the bar (the last step of heun and dpm++2s asks once)."""
    steps = len(found.path)
    if asked.image is not None and asked.mask is None:
        steps = max(1, round(asked.strength * steps))
    rounds = found.by_name.resample if asked.mask is not None else 1
    if found.method.sampler in (samplers.heun, samplers.dpm_single):
        return rounds * 2 * steps - (rounds if rounds == 1 else rounds * ceil(1 / steps))
    return rounds * steps


def told_of(
    net: DiffusionModel, count: int, asked: Asked, augment: float, streams: list[Generator],
    generator: Generator, progress: Progress,
) -> dict[str, Tensor]:  # fmt: skip
    """What the network is told apart from the time: labels, and the small picture noised by the share `augment`."""
    told = asked.cond()
    if not net.low:
        return told
    low = asked.low
    if low is None:
        if net.base is None:
            raise RequestError(
                "This model makes small pictures larger: give condition(low=pictures)."
            )
        base = net.base
        low = base.hooks.call(
            "sample", net=base.net, count=count, cond=_passed(base, asked, count), options=base.card.sampling,
            generator=generator, progress=progress,
        )  # fmt: skip
    if getattr(net.network, "low_time", None) is None:
        return {**told, "low": low}
    t = max(augment * net.process.last, net.process.first)
    level = net.process.level(t if net.process.continuous else float(round(t)))
    fresh = rng.normal(streams, *low.shape[1:], device=low.device, dtype=low.dtype)
    time = torch.full((count,), level.time, device=low.device)
    return {**told, "low": level.noised(low, fresh), "low_level": time}


def _passed(base: Model, asked: Asked, count: int) -> Any:
    if asked.labels is None or not getattr(base.net, "classes", 0):
        return None
    return base.hooks.call("condition", net=base.net, request={"label": asked.labels}, batch=count)


def denoiser(
    net: DiffusionModel, found: Chosen, asked: Asked, told: Mapping[str, Tensor]
) -> samplers.Denoise:
    """The net with guidance, limits and what is kept, as samplers ask it."""
    answer = answers(net, found, told)
    process, how = net.process, found.by_name
    limit = limited(how.clip, how.threshold)
    scale, folded = how.classifier, found.method.sampler is not samplers.ddpm
    mask = asked.mask
    kept = None if mask is None or asked.image is None else asked.image * (1 - mask)

    def denoise(x: Tensor, level: Level) -> Predicted:
        seen = x if level.scale == 1 else x * level.scale
        got = process.read(answer(seen, level), x, level)
        if scale:
            push = scale * _push(net, x, level, asked)
            got = guidance.pushed(got, x, level, push) if folded else got._replace(push=push)
        if limit is None and kept is None:
            return got
        x0 = got.x0 if limit is None else limit(got.x0)
        if kept is not None and mask is not None:
            x0 = x0 * mask + kept
        return agreeing(got, x0, x, level)

    return denoise


def answers(
    net: DiffusionModel, found: Chosen, told: Mapping[str, Tensor]
) -> Callable[[Tensor, Level], Tensor]:
    """The network's answer, guided by the label against none where that is asked for."""
    how = found.by_name
    if how.guidance == 1:
        return lambda x, level: net.answer(x, level.time, told)
    null = torch.full_like(told["label"], net.classes)
    twice = {
        key: torch.cat([value, null if key == "label" else value]) for key, value in told.items()
    }
    channels = net.image[0]

    def guided(x: Tensor, level: Level) -> Tensor:
        if not how.guidance_from <= level.ratio <= how.guidance_to:
            return net.answer(x, level.time, told)
        with_it, without = net.answer(torch.cat([x, x]), level.time, twice).chunk(2)
        mixed = guidance.classifier_free(
            with_it[:, :channels], without[:, :channels], how.guidance, how.rescale
        )
        return (
            mixed if with_it.shape[1] == channels else torch.cat([mixed, with_it[:, channels:]], 1)
        )

    return guided


def limited(clip: bool, threshold: float) -> Callable[[Tensor], Tensor] | None:
    """How the foreseen picture is kept within [-1, 1], if at all."""
    if threshold:
        return lambda x0: guidance.dynamic(x0, threshold)
    return (lambda x0: x0.clamp(-1, 1)) if clip else None


def _push(net: DiffusionModel, x: Tensor, level: Level, asked: Asked) -> Tensor:
    classifier, labels = net.classifier, asked.labels
    if classifier is None or labels is None:
        raise RequestError("classifier guidance needs the part `classifier` and a label.")
    t = torch.full((len(x),), level.time, device=x.device, dtype=torch.float32)

    def likely(given: Tensor) -> Tensor:
        found: Tensor = classifier(given * level.scale, t).log_softmax(1)
        return found.gather(1, labels[:, None])

    return guidance.gradient(likely, x)
