"""A run from noise to a picture: a net as samplers ask it, guided, limited and held to what is kept.

With a mask (1 where drawn anew) the foreseen picture is the given one where it is kept, x_0 <- m x_0 + (1 - m) given,
so that any sampler follows q(x_s | x_t, x_0) there; with `resample` each stretch of steps is noised and taken again,
so that both parts agree (Lugmayr et al., 2022, arXiv:2201.09865).

A family says what the net is told (`Told`), where a run begins (`Start`) and which options are chosen (`Chosen`); what
is diffused, pictures or latents, does not matter here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import torch
from torch import Generator, Tensor

from zoo import rng
from zoo.hookspecs import Progress
from zoo.images import Images
from zoo.nn.diffusion import guidance, samplers
from zoo.nn.diffusion.choosing import Chosen
from zoo.nn.diffusion.levels import Level, Path, raised
from zoo.nn.diffusion.predictions import Predicted, agreeing
from zoo.nn.diffusion.process import Process
from zoo.nn.diffusion.starting import Start

T = TypeVar("T")
STRETCHES = 25  # RePaint's: jumps of 10 of 250 steps
Push: TypeAlias = Callable[[Tensor, Level], Tensor]


class Denoising(Protocol):
    """What a run needs of a model: the process it was made for, the shape (C, H, W) of what is diffused, its answer."""

    @property
    def process(self) -> Process:
        """What the network was made for."""
        ...

    @property
    def diffused(self) -> tuple[int, ...]:
        """(C, H, W) of what is diffused."""
        ...

    def like(self) -> Tensor:
        """A tensor of the network's device and type."""
        ...

    def answer(self, x: Tensor, time: float, told: Mapping[str, Any]) -> Tensor:
        """The network's answer (B, C or 2 C, H, W) about x (B, C, H, W) when it is told `time`, both in its type."""
        ...


class Told(NamedTuple):
    """What the net is told beside the time: given the condition, and, for guidance, without it.

    Both have the same keys; values are tensors (B, ...), sequences of such, or anything that is the same in both.
    """

    given: Mapping[str, Any]
    without: Mapping[str, Any] | None = None

    @property
    def twice(self) -> dict[str, Any]:
        """Both, one after the other: (2 B, ...). Raises ValueError where nothing is said of `without`."""
        if self.without is None:
            raise ValueError("guidance needs what the net is told without the condition")
        return {key: _joined(value, self.without[key]) for key, value in self.given.items()}


def _joined(one: Any, other: Any) -> Any:
    if isinstance(one, Tensor):
        return torch.cat([one, other])
    if isinstance(one, tuple | list):
        return tuple(_joined(a, b) for a, b in zip(one, other, strict=True))
    return one


@dataclass(frozen=True)
class Run:
    """`count` runs alike: the options chosen, what the net is told, where they begin, and what pushes them.

    push  (x (B, C, H, W), level) -> the gradient of a log likelihood by x, already weighed
    """

    net: Denoising
    count: int
    chosen: Chosen
    told: Told
    start: Start = field(default_factory=Start)
    push: Push | None = None

    @property
    def stretches(self) -> list[Path]:
        """The steps to take, in parts that are each taken `rounds` times."""
        path = self.chosen.path
        path = path.part(len(path) - self.start.steps(len(path)))
        if self.rounds == 1:
            return [path]
        size = self.chosen.by_name.jump or max(1, round(len(self.chosen.path) / STRETCHES))
        return [path.part(begin, begin + size) for begin in range(0, len(path), size)]

    @property
    def rounds(self) -> int:
        """How often each stretch is taken."""
        return 1 if self.start.mask is None else int(self.chosen.by_name.resample)

    @property
    def evaluations(self) -> int:
        """How often the net is asked, for the bar."""
        return self.rounds * sum(self.chosen.method.asks(part) for part in self.stretches)


def sample(
    run: Run,
    streams: list[Generator],
    progress: Progress,
    shown: Callable[[Tensor], Tensor] = lambda x0: x0,
) -> Tensor:
    """What is drawn, (count, C, H, W); row i comes from stream i alone.

    Previews are `shown` of the x_0 foreseen: pictures, clamped to [-1, 1].
    """
    x, previews = torch.empty(0), run.chosen.previews
    begun = progress(states(run, streams), total=run.evaluations, label="steps")
    for place, state in enumerate(begun, 1):
        x = state.x
        if previews.due(place):
            previews.show(Images(shown(state.x0).clamp(-1, 1)), place)
    return x


def unwatched(iterable: Iterable[T], total: int | None = None, label: str = "") -> Iterable[T]:
    """The items of `iterable`, without a bar."""
    return iterable


def states(run: Run, streams: list[Generator]) -> Iterator[samplers.State]:
    """Every state of a run; see `zoo.nn.diffusion.samplers`."""
    net, found, start = run.net, run.chosen, run.start
    device, dtype, shape = net.like().device, widened(net.like()).dtype, net.diffused

    def noise() -> Tensor:
        return rng.normal(streams, *shape, device=device, dtype=dtype)

    denoise, method, stretches = denoiser(run), found.method, run.stretches
    first = stretches[0].steps[0].at
    if start.image is not None:
        x = first.noised(start.image.to(dtype), noise())
    else:
        usual = first.sigma if net.process.start != 1 else 1.0
        x = noise() * (usual if found.start is None else found.start)
    for part in stretches:
        for again in range(run.rounds):
            if again:
                x = raised(x, part.steps[-1].to, part.steps[0].at, noise())
            for state in method.sampler(denoise, x, method.begun(part), found.options, noise):
                x = state.x
                yield state


def widened(x: Tensor) -> Tensor:
    """The tensor in float32 at least: a net may answer in half precision, but sums over steps are not kept in it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def denoiser(run: Run) -> samplers.Denoise:
    """The net with guidance, limits and what is kept, as samplers ask it."""
    answer = answers(run)
    process, how, push = run.net.process, run.chosen.by_name, run.push
    limit = limited(how.clip, how.threshold)
    folded = run.chosen.method.sampler is not samplers.ddpm
    image, mask = run.start.image, run.start.mask
    kept = None if mask is None or image is None else widened(image * (1 - mask))

    def denoise(x: Tensor, level: Level) -> Predicted:
        seen = x if level.scale == 1 else x * level.scale
        got = process.read(answer(seen, level), x, level)
        if push is not None:
            pushed = push(x, level)
            got = guidance.pushed(got, x, level, pushed) if folded else got._replace(push=pushed)
        if limit is None and kept is None:
            return got
        x0 = got.x0 if limit is None else limit(got.x0)
        if kept is not None and mask is not None:
            x0 = x0 * mask + kept
        return agreeing(got, x0, x, level)

    return denoise


def answers(run: Run) -> Callable[[Tensor, Level], Tensor]:
    """The network's answer in x's type, guided by the condition against none where that is asked for."""
    net, told, how = run.net, run.told.given, run.chosen.by_name
    inner = net.like().dtype

    def plain(x: Tensor, level: Level) -> Tensor:
        return net.answer(x.to(inner), level.time, told).to(x.dtype)

    if how.guidance == 1:
        return plain
    twice, channels = run.told.twice, net.diffused[0]

    def guided(x: Tensor, level: Level) -> Tensor:
        if not how.guidance_from <= level.ratio <= how.guidance_to:
            return plain(x, level)
        both = torch.cat([x, x]).to(inner)
        with_it, without = net.answer(both, level.time, twice).to(x.dtype).chunk(2)
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
