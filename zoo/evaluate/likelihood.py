"""Gauges of log_prob: what a picture costs, and how often Bayes' rule finds its label.

    bits per dimension          -log2 p(x) / (C H W)     (Theis et al., 2016, arXiv:1511.01844)
    negative log-probability    -log p(x)                in nats, as papers give it for binary pixels
    accuracy                    how often argmax_y p(x | y) p(y) is the label, p(y) uniform

The card says of what a number is (8-bit pixels, binary pixels) and whether log p is exact, a lower
bound or an estimate; it stands in the readings' settings, because numbers over different things
must not be ranked together.
"""

from __future__ import annotations

from math import log, prod
from typing import TYPE_CHECKING

from zoo.errors import Unsupported
from zoo.evaluate.classifier import labels_of
from zoo.evaluate.gauge import Batch, Reading
from zoo.evaluate.metric import mean_and_se

if TYPE_CHECKING:
    import torch

    from zoo.card import Card, Density

STRETCHES = 10
BITS, NATS = "bits per dimension", "negative log-probability"


def density_of(card: Card, what: str) -> Density:
    """What the card says of its log_prob; Unsupported if it gives none."""
    if card.log_prob is None:
        raise Unsupported(
            f"{card.name} gives no log_prob, so no {what}. `zoo show NAME` says of each model "
            "what its log_prob is."
        )
    return card.log_prob


class Likelihood:
    """Bits per dimension, or nats; of binary pixels both, as papers give those in nats."""

    needs = frozenset({"bits", "nats"})

    def __init__(self, card: Card, device: torch.device, only_nats: bool = False) -> None:
        self.density = density_of(card, "likelihood")
        self.only_nats = only_nats
        self.nats: list[float] = []
        self.bits: list[float] = []

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        self.nats += (-batch.need("nats")).double().cpu().tolist()
        self.bits += batch.need("bits").double().cpu().tolist()

    def readings(self) -> list[Reading]:
        """Give the means of -log p."""
        note = {"kind": self.density.kind, "over": self.density.over}
        nats, bits = (
            Reading(name, *_mean(values, unit), note)
            for name, values, unit in ((NATS, self.nats, "nats"), (BITS, self.bits, "bit"))
        )
        if self.only_nats:
            return [nats]
        return [nats, bits] if self.density.over == "binary pixels" else [bits]


def _mean(values: list[float], unit: str) -> tuple[float, str, float | None]:
    """The fields value, unit and se of a Reading."""
    mean, se = mean_and_se(values)
    return mean, unit, se


class Terms:
    """What the bits per dimension are the sum of: the ends, and what is between in ten stretches."""

    needs = frozenset({"terms"})

    def __init__(self, card: Card, device: torch.device) -> None:
        self.density, self.numbers = density_of(card, "terms"), prod(card.image)
        self.nats: dict[str, list[float]] = {}

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        if batch.terms is None:
            raise Unsupported("This gauge needs 'terms', which the batch lacks.")
        for name, nats in batch.terms.items():
            self.nats.setdefault(name, []).extend(nats.double().tolist())

    def readings(self) -> list[Reading]:
        """Give the means, in bits per dimension."""
        first, *inner, last = self.nats
        size = -(-len(inner) // STRETCHES) or 1
        stretches = [inner[start : start + size] for start in range(0, len(inner), size)]
        note = {"kind": self.density.kind, "over": self.density.over}
        made = []
        for names in ([first], *stretches, [last]):
            bits = [
                sum(row) / (self.numbers * log(2))
                for row in zip(*(self.nats[name] for name in names), strict=True)
            ]
            called = names[0] if len(names) == 1 else f"{names[0]} .. {names[-1].split()[-1]}"
            made.append(Reading(f"{BITS}, {called}", *_mean(bits, "bit"), note))
        return made


class Accuracy:
    """How often the most probable label is the true one; zoo.evaluate.classifier says how."""

    needs = frozenset({"classes", "labels"})

    def __init__(self, card: Card, device: torch.device) -> None:
        self.density = density_of(card, "generative classifier")
        self.classes = len(labels_of(card))
        self.right: list[float] = []

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        self.right += (batch.need("classes") == batch.need("labels")).double().tolist()

    def readings(self) -> list[Reading]:
        """Give the share of right answers in percent."""
        mean, se = mean_and_se(self.right)
        note = {
            "classes": self.classes,
            "prior": "uniform",
            "kind": self.density.kind,
            "over": self.density.over,
        }
        return [Reading("accuracy", 100 * mean, "%", None if se is None else 100 * se, note)]


class NoisyAccuracy:
    """How often a classifier of noisy pictures is right, by level of noise."""

    needs = frozenset({"guesses", "labels"})

    def __init__(self, card: Card, device: torch.device) -> None:
        self.right: dict[str, list[float]] = {}

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        if batch.guesses is None:
            raise Unsupported("This gauge needs 'guesses', which the batch lacks.")
        labels = batch.need("labels")
        for name, best in batch.guesses.items():
            self.right.setdefault(name, []).extend((best == labels).double().tolist())

    def readings(self) -> list[Reading]:
        """Give the share of right answers in percent, level by level."""
        made = []
        for name, right in self.right.items():
            mean, se = mean_and_se(right)
            made.append(
                Reading(f"accuracy at {name}", 100 * mean, "%", None if se is None else 100 * se)
            )
        return made
