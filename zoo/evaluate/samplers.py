"""What a diffusion model's samples are worth, by sampler and number of network evaluations, and what guidance does.

    FD      Frechet distance of samples to held-out pictures (`zoo.evaluate.frechet`), as many of each
    calls   evaluations of the network a picture, counted; with guidance each is of twice as many pictures
    seconds a picture, of the drawing alone

Rows are of the same seeds. A Frechet distance of few pictures is too high: compare rows with each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo.errors import RequestError, Unsupported, nearest
from zoo.evaluate.drawing import drawn
from zoo.evaluate.features import NAME, WIDTH, EfficientNetLite2
from zoo.evaluate.frechet import Moments, distance_of
from zoo.evaluate.measure import batches
from zoo.evaluate.metric import rounded
from zoo.evaluate.plots import Axis, Panel, plot
from zoo.images import to_uint8
from zoo.nn.diffusion.choosing import METHODS
from zoo.progress import progress

if TYPE_CHECKING:
    from zoo.model import Model

COUNT = 256  # pictures a row, unless asked
SAMPLERS = ("ddpm", "ddim", "dpm++2m", "heun")
STEPS = (5, 10, 25, 50)
WEIGHTS = (1.0, 1.5, 2.0, 3.0)
TWICE = ("heun", "dpm++2s")
OF_SAMPLERS = (
    "sampler",
    "steps",
    "spacing",
    "offset",
    "eta",
    "churn",
    "variance",
)  # the rows say these
SECTION = """\
## Samples by sampler and number of network evaluations

FD-{features} of {count} samples to {count} pictures of {data} (too high from few pictures: compare rows with each
other); evaluations of the network and seconds for one picture, {threads} thread{s} of {device}, batches of {batch}.

{table}

![FD against evaluations and seconds]({file})

{guidance}

Measured by `{line}`."""


@dataclass(frozen=True)
class Sampled:
    """One row: the options, FD, evaluations of the network and seconds a picture."""

    options: Mapping[str, Any]
    distance: float
    calls: float
    seconds: float
    count: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self) | {"options": dict(self.options)}


def by_sampler(
    model: Model,
    data: Any,
    count: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    *,
    names: Sequence[str] = SAMPLERS,
    steps: Sequence[int] = STEPS,
    weights: Sequence[float] = WEIGHTS,
    called: str = "pictures given",
    line: str = "",
    path: Path,
    features: Callable[[Tensor], Tensor] | None = None,
) -> tuple[list[Sampled], str]:
    """Draw by each sampler in each number of steps, then by the card's own with each guidance weight.

    Steps of the samplers that ask twice are halved, so that all rows ask about equally often. Gives the rows and the
    Markdown of the card; the plot goes to `path`. `features` turns uint8 pictures (B, C, H, W) into (B, D), by default
    EfficientNetLite2's. Raises Unsupported for a model that is not sampled so, RequestError for an unknown sampler.
    """
    _diffuses(model)
    for name in names:
        if name not in METHODS:
            raise RequestError(
                f"There is no sampler {name!r}.{nearest(name, METHODS)} Known: {', '.join(METHODS)}."
            )
    count = min(count or COUNT, len(data))
    look = features or EfficientNetLite2().to(model.device)
    real = _moments(look(each.to(model.device)) for each in batches(data, count, batch_size))
    asked: list[dict[str, Any]] = [
        {"sampler": name, "steps": max(1, (n + 1) // 2) if name in TWICE else n}
        for name in names
        for n in steps
    ]
    usual = model.card.sampling
    own = {"sampler": usual.get("sampler", "ddim"), "steps": usual.get("steps") or 25}
    kept = {key: value for key, value in usual.items() if key not in OF_SAMPLERS}
    model = replace(model, card=replace(model.card, sampling=kept))
    kinds = _guides(model)
    turned = [own | {kind: weight} for kind in kinds for weight in weights]
    rows = [
        _row(model, options, real, look, count, batch_size, seed)
        for options in progress([*asked, *turned], label="samplers")
    ]
    plain, guided = rows[: len(asked)], rows[len(asked) :]
    lines = {name: [row for row in plain if row.options["sampler"] == name] for name in names}
    quality = Axis(f"FD-{NAME}", log=True)
    panels = [
        Panel(
            Axis(f"{what} a picture", log=True), quality,
            {name: [(get(row), row.distance) for row in of] for name, of in lines.items()},
        )
        for what, get in (("network evaluations", _calls), ("seconds", _seconds))
    ]  # fmt: skip
    plot(panels, path, f"{model.card.title}, {count} samples")
    threads = torch.get_num_threads()
    section = SECTION.format(
        features=NAME, count=count, data=called, threads=threads, s="s" * (threads > 1), device=model.device,
        batch=batch_size, table=_table(plain), file=path.name, line=line, guidance=_about(guided, kinds, own),
    )  # fmt: skip
    return rows, section


def _calls(row: Sampled) -> float:
    return row.calls


def _seconds(row: Sampled) -> float:
    return row.seconds


def _diffuses(model: Model) -> None:
    model.hooks.need("sample")
    if not hasattr(model.net, "process") or not isinstance(
        getattr(model.net, "network", None), nn.Module
    ):
        raise Unsupported(
            f"{model.name} (family {model.family!r}) has no samplers to compare: diffusion models do."
        )


def _guides(model: Model) -> tuple[str, ...]:
    """The options by which the model is guided."""
    free = bool(getattr(model.net, "null", False))
    return ("guidance",) * free + ("classifier",) * (
        getattr(model.net, "classifier", None) is not None
    )


def _row(
    model: Model,
    options: dict[str, Any],
    real: Moments,
    look: Callable[[Tensor], Tensor],
    count: int,
    batch_size: int,
    seed: int,
) -> Sampled:
    made, spent, asked = Moments(WIDTH if real.count == 0 else len(real.mean)), 0.0, 0
    with _counted(model.net.network) as calls:
        for step, start in enumerate(range(0, count, batch_size)):
            size = min(batch_size, count - start)
            begun = time.perf_counter()
            pictures = to_uint8(
                drawn(model, size, seed + step, start, **options).as_subclass(Tensor)
            )
            spent += time.perf_counter() - begun
            with torch.inference_mode():
                made.add(look(pictures))
            asked += 1
    return Sampled(options, distance_of(real, made), len(calls) / asked, spent / count, count)


@contextmanager
def _counted(network: Any) -> Iterator[list[int]]:
    """The sizes of the batches that a network is asked about."""
    calls: list[int] = []
    handle = network.register_forward_pre_hook(lambda net, given: calls.append(len(given[0])))
    try:
        yield calls
    finally:
        handle.remove()


def _moments(features: Iterator[Tensor]) -> Moments:
    made = None
    with torch.inference_mode():
        for each in features:
            made = made or Moments(each.shape[1])
            made.add(each)
    if made is None:
        raise RequestError("There are no pictures to compare samples with.")
    return made


def _table(rows: Sequence[Sampled]) -> str:
    lines = [
        f"| sampler | steps | evaluations | seconds | FD-{NAME} |",
        "|---|---:|---:|---:|---:|",
    ]
    best = min(row.distance for row in rows)
    for row in rows:
        mark = "**" if row.distance == best else ""
        lines.append(
            f"| {row.options['sampler']} | {row.options['steps']} | {row.calls:g} | {rounded(row.seconds, 2):g} | "
            f"{mark}{rounded(row.distance, 4):g}{mark} |"
        )
    return "\n".join(lines)


def _about(rows: Sequence[Sampled], kinds: Sequence[str], own: Mapping[str, Any]) -> str:
    if not kinds:
        return "There is no guidance: the model has no null label and no classifier."
    lines = [
        f"Guidance, by {own['sampler']} in {own['steps']} steps; samples are of all labels alike (guidance 1 and "
        "classifier 0 are none):",
        "",
        f"| | weight | evaluations | seconds | FD-{NAME} |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        kind = next(each for each in kinds if each in row.options)
        lines.append(
            f"| {kind} | {row.options[kind]:g} | {row.calls:g} | {rounded(row.seconds, 2):g} | "
            f"{rounded(row.distance, 4):g} |"
        )
    return "\n".join(lines)
