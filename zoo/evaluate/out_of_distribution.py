"""Out-of-distribution scores: how well log_prob tells another set's pictures from the model's own.

Two scores of a picture x, higher for stranger ones:

    -log p(x)          how improbable it is
    |log p(x) + H|     how far from typical, H the mean of -log p over training pictures
                       (Nalisnick et al., 2019, arXiv:1906.02994, one picture at a time)

The first is known to fail where the other set is smoother than the model's own: models of CIFAR-10
find SVHN more probable than CIFAR-10 (Nalisnick et al., 2018, arXiv:1810.09136). An AUROC below 0.5
is such a failure and is reported as it is.

    AUROC = P(s(outside) > s(inside)) + P(s(outside) = s(inside)) / 2

with its standard error after DeLong et al., 1988 (doi.org/10.2307/2531595): with v_j the share of
the inside below outside j, and w_i the share of the outside above inside i, ties as halves,
var = var(v) / n + var(w) / m.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.evaluate.likelihood import density_of
from zoo.evaluate.measure import Pictures, asked, batches, suited
from zoo.evaluate.metric import Metric
from zoo.images import from_uint8
from zoo.progress import progress

if TYPE_CHECKING:
    from zoo.model import Model

IMPROBABLE, ATYPICAL = "AUROC of -log p", "AUROC of typicality"


def auroc(inside: Tensor, outside: Tensor) -> tuple[float, float | None]:
    """The area under the ROC curve of scores (m,) and (n,), and its standard error.

    1: every outside score is higher; 0.5: they tell nothing. No error of fewer than two scores.
    """
    inside, outside = inside.double().sort().values, outside.double().sort().values
    below = _share_below(inside, outside)  # (n,)
    above = 1 - _share_below(outside, inside)  # (m,)
    value = float(below.mean())
    if min(len(inside), len(outside)) < 2:
        return value, None
    return value, math.sqrt(float(below.var()) / len(below) + float(above.var()) / len(above))


def _share_below(ordered: Tensor, values: Tensor) -> Tensor:
    """For each value, the share of `ordered` below it, ties counted as halves."""
    low, high = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return (low + high).double() / (2 * len(ordered))


def nats_of(model: Model, data: Pictures, count: int, batch_size: int, seed: int) -> Tensor:
    """log_prob (count,) float64 of pictures spread evenly over a set, in nats."""
    label = f"log_prob of {getattr(data, 'name', 'pictures')}"
    steps = -(-count // batch_size)
    found = [
        model.log_prob(from_uint8(pictures), seed=seed + step).nats.double().cpu()
        for step, pictures in enumerate(progress(batches(data, count, batch_size), steps, label))
    ]
    return torch.cat(found)


def outliers(
    model: Model,
    inside: Pictures,
    outside: Pictures,
    training: Pictures,
    count: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    *,
    names: Sequence[str] = ("inside", "outside", "training"),
    command: str = "",
) -> list[Metric]:
    """How well a model's log_prob tells one set from another.

    Args:
        model: from `zoo.load`.
        inside: held-out pictures of what the model was trained on, as `evaluate` takes them.
        outside: pictures of something else, of the same shape.
        training: pictures the model was trained on, for H; as many are taken as of `inside`.
        count: pictures of each set, spread evenly; by default all.
        batch_size: pictures at a time.
        seed: of a log_prob that draws, and of binarising.
        names: what the metrics call the three sets.
        command: the line that measures this again.

    Returns:
        Two metrics, the AUROC of each score; their count is that of `inside`.

    Raises Unsupported for a model without log_prob, ImageError for pictures it does not take.
    """
    density_of(model.card, "out-of-distribution scores")
    density = model.density
    sets = [suited(each, model.card, seed) for each in (inside, outside, training)]
    many = min(count or len(inside), len(inside))
    counts = [many, min(count or len(outside), len(outside)), min(many, len(training))]
    own, other, seen = (
        nats_of(model, data, n, batch_size, seed) for data, n in zip(sets, counts, strict=True)
    )
    entropy = -float(seen.mean())
    note = {
        "model": model.card.title,
        "kind": density.kind,
        "over": density.over,
        "batch_size": batch_size,
        "outside pictures": counts[1],
        "training pictures": counts[2],
        "mean nats": {
            name: float(each.mean())
            for name, each in zip(names, (own, other, seen), strict=True)
        },
    }  # fmt: skip
    data = f"{names[0]} against {names[1]}"
    scores = {
        IMPROBABLE: auroc(-own, -other),
        ATYPICAL: auroc((own + entropy).abs(), (other + entropy).abs()),
    }
    return [
        Metric(name + asked(model.request), value, "", se, many, data, command, note)
        for name, (value, se) in scores.items()
    ]
