"""A generative classifier: Bayes' rule over log_prob given each label, or each caption.

    p(y | x) = p(x | y) p(y) / sum_k p(x | k) p(k)

(Ng & Jordan, 2001, "On discriminative vs. generative classifiers"; of deep models: Li et al., 2023,
arXiv:2303.16203.) Exact where log_prob is exact. Where it is a lower bound or an estimate, bounds
stand in for log p(x | y) and the answer is a score that sums to one, no posterior: `kind` says
which. Every label sees the same random numbers, so that noise common to all cancels.

A model knows K labels if its card's config has `classes: K` and its `condition` takes label=0 ..
K - 1. One that takes text="..." classifies among any captions, without having been trained to:
p(caption | x) among those given, in proportion to p(x | caption).
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
from zoo.evaluate.conditional import nats_given
from zoo.model import Model


@dataclass(frozen=True, eq=False)
class Classes:
    """What `classify` gives for B pictures and K labels.

    Attributes:
        labels: the K labels compared; of captions their places, 0 .. K - 1.
        names: of the labels: "t-shirt", ...; the label itself where no name is known. Or the captions.
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
    captions: Sequence[str] | None = None,
) -> Classes:
    """Which label or caption each image has, by Bayes' rule over a conditional model's log_prob.

    Args:
        model: from `zoo.load`, or its name. Other conditions it was given (importance=500) hold.
        images: as `Model.log_prob` takes them; pictures of black and white for binary models.
        labels: those to compare; by default all that the card's config says there are.
        prior: a weight a label, in the order of `labels`; scaled to sum to one. Uniform by default.
        seed: of a log_prob that draws (bounds, dequantisation).
        captions: in place of labels: texts to compare, for a model that takes text="...".

    Raises:
        Unsupported: no log_prob, no conditions, or nothing says how many labels there are.
        RequestError: a label that the model does not know, captions for a model that takes no text, a
            prior that is none, a picture that no label could give.
        ImageError: images that the model does not take.
    """
    if not isinstance(model, Model):
        from zoo.loading import load

        model = load(model)
    values, names = _compared(model.card, labels, captions)
    weights, density = weights_of(prior, len(values)), model.density
    taken = images_for(model.card, images)
    if seed is None:
        seed = rng.generator().initial_seed()
    key = "label" if captions is None else "text"
    nats = nats_given(model, taken, key, [values] * len(taken), seed)
    joint = nats + weights.log()
    possible = joint.isfinite().any(1)
    if not possible.all():
        raise RequestError(
            f"Picture {int((~possible).nonzero()[0])} is impossible under {model.name} given any of the "
            f"{len(values)} {key}s (log p is minus infinity), so there is nothing to choose by."
        )
    places = tuple(range(len(values))) if captions is not None else values
    return Classes(places, names, joint.softmax(1), nats, density.kind, density.over)


def _compared(
    card: Card, labels: Sequence[int] | None, captions: Sequence[str] | None
) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """What is compared, and what it is called. Raises RequestError, and Unsupported as `labels_of`."""
    if captions is not None:
        if labels is not None:
            raise RequestError("labels and captions were both given; compare one or the other.")
        texts = (captions,) if isinstance(captions, str) else tuple(captions)
        if len(texts) < 2 or len(set(texts)) < len(texts) or not all(map(str.strip, texts)):
            raise RequestError(f"captions are two or more different texts to compare; got {texts}.")
        return texts, texts
    compared = labels_of(card) if labels is None else tuple(labels)
    if len(compared) < 2 or len(set(compared)) < len(compared):
        raise RequestError(f"labels are two or more different ones to compare; got {compared}.")
    known = names_of(card)
    return compared, tuple(known[k] if 0 <= k < len(known) else str(k) for k in compared)


def labels_of(card: Card) -> tuple[int, ...]:
    """The labels 0 .. K - 1 that the card's config speaks of. Raises Unsupported if it does not."""
    count = card.config.get("classes")
    if type(count) is not int or count < 2:
        said = f"classes: {count}" if "classes" in card.config else "no `classes`"
        raise Unsupported(
            f"{card.title} is not known to be a model of labelled pictures: its card's config has "
            f"{said}. A class-conditional model's has the number of its labels there; for one that "
            "says it otherwise, give them: zoo.classify(..., labels=range(10)), --labels 10. A model that takes "
            "text compares captions: --captions."
        )
    return tuple(range(count))


def names_of(card: Card) -> tuple[str, ...]:
    """Names of a card's labels, its own or of the set it was trained on; none if that has none that fit."""
    if card.labels:
        return card.labels
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
