"""`evaluate`: run a model over a set of pictures and measure what it makes of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo import bulk, rng
from zoo.data import Binarised
from zoo.density import LogProb
from zoo.errors import DataError, RequestError, Unsupported
from zoo.evaluate.captions import AMONG, Choices
from zoo.evaluate.classifier import classify
from zoo.evaluate.conditional import nats_given
from zoo.evaluate.drawing import drawn
from zoo.evaluate.gauge import Batch
from zoo.evaluate.gauges import gauges_of, usual
from zoo.evaluate.metric import Metric
from zoo.evaluate.spread import Spread, Step
from zoo.images import from_uint8, to_uint8
from zoo.progress import progress

if TYPE_CHECKING:
    from zoo.card import Card
    from zoo.model import Model

Pictures = Any  # a data set of zoo.data, uint8 (N, C, H, W), or a sequence of either's items


def picture(item: Any) -> Tensor:
    """Return the uint8 picture (C, H, W) of a data set's item; DataError for anything else."""
    value = item["image"] if isinstance(item, Mapping) else item
    if not isinstance(value, Tensor) or value.dtype != torch.uint8 or value.ndim != 3:
        kind = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value)
        raise DataError(f"A picture to evaluate on is a uint8 tensor (C, H, W); got {kind}.")
    return value


def spread(total: int, count: int) -> list[int]:
    """Numbers of `count` pictures spread evenly over `total`, as sets are ordered by source."""
    return [index * total // count for index in range(count)]


def suited(data: Pictures, card: Card, seed: int) -> Pictures:
    """The set as the model knows pictures: drawn black and white for a model of binary pixels."""
    if card.log_prob is None or card.log_prob.over != "binary pixels":
        return data
    return data if isinstance(data, Binarised) else Binarised(data, seed)


def batches(data: Pictures, count: int, size: int) -> Iterator[Tensor]:
    """Yield `count` pictures, spread evenly, as uint8 (B, C, H, W); DataError if shapes differ."""
    numbers = spread(len(data), count)
    for start in range(0, count, size):
        rows = [picture(data[index]) for index in numbers[start : start + size]]
        shapes = {tuple(row.shape) for row in rows}
        if len(shapes) > 1:
            raise DataError(
                f"Pictures {start} to {start + len(rows) - 1} have the shapes {sorted(shapes)}; a "
                "set to evaluate on has one. Build it with `zoo data build NAME --size 128`."
            )
        yield torch.stack(rows)


def given_labels(data: Pictures, numbers: Sequence[int]) -> Tensor:
    """Labels (B,) int64 of those items of a set; DataError if it has none."""
    items = [data[number] for number in numbers]
    labels = [item.get("label") if isinstance(item, Mapping) else None for item in items]
    if any(label is None for label in labels):
        raise DataError(
            f"{getattr(data, 'name', 'The set')} does not say what its pictures are, and accuracy "
            "needs their labels. Sets with labels: mnist, fashion-mnist, cifar10."
        )
    return torch.tensor(labels)


def captions_for(
    data: Pictures, needs: frozenset[str]
) -> Callable[[Sequence[int]], list[list[str]]]:
    """What gives items of a set, by their numbers, the captions that gauges need. Raises DataError."""
    if not needs & {"given", "pictured"}:
        return lambda numbers: []
    choices, among = Choices(data), AMONG if "among" in needs else 1
    return lambda numbers: choices.rows(numbers, among)


def _settle(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def rebuilt(model: Model, images: Tensor) -> tuple[Tensor, Tensor]:
    """Encode and decode images (B, C, H, W) in [-1, 1].

    Returns uint8 pictures of the same shape, and the latents between. Raises RequestError if the
    model gives pictures of another shape back.
    """
    latents = model.encode(images.to(model.device))
    back = _plain(model.decode(latents))
    if back.shape != images.shape:
        raise RequestError(
            f"{model.name} rebuilt pictures {tuple(images.shape)} as {tuple(back.shape)}; "
            f"it takes {tuple(model.card.image)}: evaluate it on a set of that size."
        )
    return to_uint8(back).cpu(), latents


def summed(model: Model, terms: Mapping[str, Tensor]) -> LogProb:
    """The log_prob of pictures, of the `terms` (B,) that it is the sum of: those of 8-bit pixels."""
    meaning, nats = model.density, -torch.stack(list(terms.values())).sum(0)
    return LogProb(nats, meaning.kind, meaning.over, prod(model.card.image))


def guessed(model: Model, images: Tensor, seed: int) -> dict[str, Tensor]:
    """The most probable label (B,) of images (B, C, H, W) by level of noise. Raises Unsupported."""
    told = getattr(model.net, "guesses", None)
    if told is None:
        raise Unsupported(
            f"{model.name} (family {model.family!r}) does not tell what noisy pictures show; models of the family "
            "'classifier' do. Of log_prob's classifier: --metric accuracy."
        )
    found: dict[str, Tensor] = told(images.to(model.device, model.dtype), rng.generator(seed))
    return found


def made(
    model: Model,
    pictures: Tensor,
    needs: frozenset[str],
    seed: int,
    first: int,
    captions: Sequence[Sequence[str]] = (),
) -> Batch:
    """What gauges need of the model's work on a batch whose first picture is number `first`.

    `captions` are those to give each picture, its own first, where `given` or `pictured` is needed.
    """
    images = from_uint8(pictures).to(model.device)
    back = tokens = bits = nats = classes = samples = pictured = given = None
    begun = _settle(model.device)
    if "rebuilt" in needs:
        back, tokens = rebuilt(model, images)
    elif "tokens" in needs:
        tokens = model.encode(images)
    seconds = _settle(model.device) - begun
    terms = _here(model.terms(images, seed=seed)) if "terms" in needs else None
    if needs & {"bits", "nats"}:
        answer = model.log_prob(images, seed=seed) if terms is None else summed(model, terms)
        bits, nats = answer.bits_per_dim, answer.nats
    if "classes" in needs:
        classes = classify(model, images, seed=seed).best.cpu()
    if "given" in needs:
        given = nats_given(model, images, "text", captions, seed)
    if "pictured" in needs:
        told = model.condition(text=[row[0] for row in captions])
        pictured = to_uint8(_plain(told.sample(len(pictures), seed=seed))).cpu()
    guesses = _here(guessed(model, images, seed)) if "guesses" in needs else None
    if "samples" in needs:
        samples = to_uint8(_plain(drawn(model, len(pictures), seed, first))).cpu()
    return Batch(
        pictures, back, tokens, bits, nats, classes, samples=samples, pictured=pictured, given=given,
        terms=terms, guesses=guesses, seconds=seconds,
    )  # fmt: skip


def _here(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: each.cpu() for name, each in found.items()}


def _plain(images: Any) -> Tensor:
    tensor = images if isinstance(images, Tensor) else images.tensor
    return tensor.as_subclass(Tensor)


def evaluate(
    model: Model,
    data: Pictures,
    metrics: Sequence[str] | None = None,
    count: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    *,
    name: str | None = None,
    command: str | None = None,
    spread_over: Spread | None = None,
) -> list[Metric]:
    """Measure a model on pictures.

    Args:
        model: from `zoo.load`.
        data: a set of `zoo.data.open_set`, or the name of one (its test split at the model's
            size is opened), or uint8 pictures (N, C, H, W); all of one size.
        metrics: names out of `zoo.evaluate.GAUGES`; by default those of such a model's card.
        count: pictures to take, spread evenly over the set; by default all. Frechet distances
            depend on it.
        batch_size: pictures at a time: memory and speed, and which random numbers a sample gets.
        seed: for log_prob and samples.
        name: what the metrics call the set; by default its own name.
        command: the line that measures this again; by default the Python call.
        spread_over: the same model and set, by name, for the workers of a Ray cluster.

    Returns:
        One Metric a number, in the order of `metrics`.

    Raises:
        RequestError: an unknown metric, a count that the set does not have.
        DataError: weights of LPIPS or EfficientNetLite2 are missing, or pictures of unequal size.
        Unsupported: the model cannot do what a metric needs.
    """
    if isinstance(data, str | os.PathLike):
        from zoo.data import open_set

        data = open_set(data, "test", model.card.image[-1])
    data = suited(data, model.card, seed)
    total = len(data)
    count = total if count is None else count
    if not 1 <= count <= total or batch_size < 1:
        raise RequestError(
            f"count is 1 to {total:,} pictures here and batch_size at least 1; "
            f"got {count:,} and {batch_size}."
        )
    names = tuple(metrics) if metrics is not None else usual(model.card)
    told = (
        model.card if model.card.log_prob is None else replace(model.card, log_prob=model.density)
    )
    gauges = gauges_of(names, told, model.device)
    needs: frozenset[str] = frozenset().union(*(gauge.needs for gauge in gauges))
    steps, numbers = -(-count // batch_size), spread(total, count)
    label = f"evaluating {model.name}"
    choose = captions_for(data, needs)

    def here() -> Iterator[Batch]:
        for step, pictures in enumerate(progress(batches(data, count, batch_size), steps, label)):
            # Samples are numbered by (seed, place in the batch): another batch takes another seed.
            start = step * batch_size
            captions = choose(numbers[start : start + batch_size])
            yield made(model, pictures, needs, seed + step, start, captions)

    results = here()
    if spread_over is not None:
        job = replace(spread_over, seed=seed, batch_size=batch_size, needs=needs)
        units = [
            Step(place, tuple(numbers[place * batch_size : (place + 1) * batch_size]))
            for place in range(steps)
        ]
        gpus = int((job.device or "cpu").startswith("cuda"))
        results = bulk.run(job, units, label, job.ray, gpus)
    with torch.no_grad():  # not inference mode: a log_prob or a guided sample may need gradients
        for step, batch in enumerate(results):
            if "labels" in needs:
                places = numbers[step * batch_size : (step + 1) * batch_size]
                batch = replace(batch, labels=given_labels(data, places))
            for gauge in gauges:
                gauge.add(batch)
    pictures = batch.pictures
    called = name or str(getattr(data, "name", "pictures given"))
    line = command or _call(model, called, names, count, seed)
    size = tuple(pictures.shape[1:])
    given = asked(model.request)
    found = [
        Metric(
            each.name + given, each.value, each.unit, each.se, count, called, line,
            {"model": model.card.title, "picture": size, "batch_size": batch_size, **each.settings},
        )
        for gauge in gauges
        for each in gauge.readings()
    ]  # fmt: skip
    return list({each.name: each for each in found}.values())  # of two gauges' equal readings, one


def asked(request: Mapping[str, Any]) -> str:
    """What a metric's name says of the model's conditions: " (importance=500)", or nothing."""
    given = ", ".join(f"{key}={value}" for key, value in request.items())
    return f" ({given})" if given else ""


def _call(model: Model, data: str, names: Sequence[str], count: int, seed: int) -> str:
    return (
        f"zoo.evaluate.evaluate(zoo.load({model.card.title!r}), {data!r}, {list(names)}, "
        f"count={count}, seed={seed})"
    )
