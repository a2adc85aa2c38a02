"""A generative classifier: Bayes' rule over log_prob given each label.

    p(y | x) = p(x | y) p(y) / sum_k p(x | k) p(k)

(Ng & Jordan, 2001, "On discriminative vs. generative classifiers"; of deep models: Li et al., 2023,
arXiv:2303.16203.) Exact where log_prob is exact. Where it is a lower bound or an estimate, bounds
stand in for log p(x | y) and the answer is a score that sums to one, no posterior: `kind` says
which. Every label sees the same random numbers, so that noise common to all cancels.

A model knows K labels if its card's config has `classes: K` and its `condition` takes label=0 ..
K - 1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo import rng
from zoo.card import Card
from zoo.checking import images_for
from zoo.data.standard import LABELS
from zoo.errors import RequestError, Unsupported
from zoo.model import Model


@dataclass(frozen=True, eq=False)
class Classes:
    """What `classify` gives for B pictures and K labels.

    Attributes:
        labels: the K labels compared.
        names: of the labels: "t-shirt", ...; the label itself where no name is known.
        probabilities: (B, K) float64, rows sum to one: p(y | x).
        nats: (B, K) float64, log p(x | y).
        kind: of log_prob: "exact", "lower bound" or "estimate".
        over: what log_prob is over.
    """

    labels: tuple[int, ...]
    names: tuple[str, ...]
    probabilities: Tensor
    nats: Tensor
    kind: str
    over: str

    @property
    def best(self) -> Tensor:
        """(B,) int64, the most probable label of each picture."""
        chosen = self.probabilities.argmax(1)
        return torch.tensor(self.labels, device=chosen.device)[chosen]

    def __repr__(self) -> str:
        best = self.probabilities.argmax(1).tolist()
        shown = [f"{self.names[k]} {row[k]:.3g}" for row, k in zip(self.probabilities, best)][:8]  # noqa: B905
        more = ", ..." if len(best) > len(shown) else ""
        return f"Classes({len(best)} images of {len(self.labels)} labels: {', '.join(shown)}{more})"


def classify(
    model: Model | str | os.PathLike[str],
    images: Any,
    labels: Sequence[int] | None = None,
    prior: Sequence[float] | None = None,
    seed: int | None = None,
) -> Classes:
    """Which label each image has, by Bayes' rule over a class-conditional model's log_prob.

    Args:
        model: from `zoo.load`, or its name. Other conditions it was given (importance=500) hold.
        images: as `Model.log_prob` takes them; pictures of black and white for binary models.
        labels: those to compare; by default all that the card's config says there are.
        prior: a weight a label, in the order of `labels`; scaled to sum to one. Uniform by default.
        seed: of a log_prob that draws (bounds, dequantisation).

    Raises:
        Unsupported: no log_prob, no conditions, or nothing says how many labels there are.
        RequestError: a label that the model does not know, a prior that is none.
        ImageError: images that the model does not take.
    """
    if not isinstance(model, Model):
        from zoo.loading import load

        model = load(model)
    compared = labels_of(model.card) if labels is None else tuple(labels)
    if len(compared) < 2 or len(set(compared)) < len(compared):
        raise RequestError(f"labels are two or more different ones to compare; got {compared}.")
    weights = weights_of(prior, len(compared))
    taken = images_for(model.card, images)
    if seed is None:
        seed = rng.generator().initial_seed()
    answers = [model.condition(label=label).log_prob(taken, seed=seed) for label in compared]
    nats = torch.stack([each.nats.double() for each in answers], 1)  # (B, K)
    known = names_of(model.card)
    names = tuple(known[k] if 0 <= k < len(known) else str(k) for k in compared)
    joint = nats + weights.log().to(nats.device)
    return Classes(
        compared, names, joint.softmax(1), nats, answers[0].kind, answers[0].over
    )  # fmt: skip


def labels_of(card: Card) -> tuple[int, ...]:
    """The labels 0 .. K - 1 that the card's config speaks of. Raises Unsupported if it does not."""
    count = card.config.get("classes")
    if type(count) is not int or count < 2:
        said = f"classes: {count}" if "classes" in card.config else "no `classes`"
        raise Unsupported(
            f"{card.title} is not known to be a model of labelled pictures: its card's config has "
            f"{said}. A class-conditional model's has the number of its labels there; for one that "
            "says it otherwise, give them: zoo.classify(..., labels=range(10)), --labels 10."
        )
    return tuple(range(count))


def names_of(card: Card) -> tuple[str, ...]:
    """Names of a card's labels, from the set it was trained on; none if that has none that fit."""
    trained = card.training.data if card.training else ()
    count = card.config.get("classes")
    fitting = [LABELS[name] for name in trained if len(LABELS.get(name, ())) == count]
    return tuple(fitting[0]) if fitting else ()


def weights_of(prior: Sequence[float] | None, count: int) -> Tensor:
    """A prior (K,) float64 that sums to one. Raises RequestError."""
    if prior is None:
        return torch.full((count,), 1 / count, dtype=torch.float64)
    given = [float(each) for each in prior]
    if len(given) != count or not all(0 <= each < math.inf for each in given) or not sum(given):
        raise RequestError(
            f"prior is a weight of 0 or more for each of the {count} labels, not all 0; got {given}."
        )
    weights = torch.tensor(given, dtype=torch.float64)
    return weights / weights.sum()
