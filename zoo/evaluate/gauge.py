"""What a gauge is: it takes batches of what a model made of pictures, and gives readings.

A gauge says what it needs of the model (`rebuilt`, `tokens`, `bits`, `nats`, `classes`, `samples`,
`pictured`, `given`, with `among` given many captions, `terms`, `guesses`) and of the set (`labels`),
and `evaluate` runs only those parts of it. A family's new metric is one such class and one line in
`zoo.evaluate.gauges.GAUGES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from zoo.errors import RequestError


@dataclass(frozen=True)
class Batch:
    """What a model made of a batch of pictures; fields that no gauge needs are None.

    Attributes:
        pictures: uint8 (B, C, H, W), the originals.
        rebuilt: uint8 (B, C, H, W), encoded, decoded, rounded to 8 bits.
        tokens: int64 (B, ...).
        bits: (B,) bits per dimension, from log_prob.
        nats: (B,) log_prob itself.
        classes: (B,) int64, the most probable label by Bayes' rule.
        labels: (B,) int64, the label that the set gives.
        samples: uint8 (B, C, H, W), as many as pictures.
        pictured: uint8 (B, C, H, W), a sample given each picture's caption.
        terms: what -log_prob is the sum of, by name, (B,) nats each.
        guesses: (B,) int64, the most probable label by level of noise.
        given: (B, K) float64, log_prob given captions, of which the first is the picture's own.
        seconds: what encoding and decoding this batch took.
    """

    pictures: Tensor
    rebuilt: Tensor | None = None
    tokens: Tensor | None = None
    bits: Tensor | None = None
    nats: Tensor | None = None
    classes: Tensor | None = None
    labels: Tensor | None = None
    samples: Tensor | None = None
    pictured: Tensor | None = None
    given: Tensor | None = None
    terms: Mapping[str, Tensor] | None = None
    guesses: Mapping[str, Tensor] | None = None
    seconds: float = 0.0

    def need(self, name: str) -> Tensor:
        """Return the field, which the gauge said it needs."""
        value: Tensor | None = getattr(self, name)
        if value is None:
            raise RequestError(f"This gauge needs {name!r}, which the batch lacks.")
        return value


@dataclass(frozen=True)
class Reading:
    """A gauge's number before `evaluate` adds data, count and command."""

    name: str
    value: float
    unit: str = ""
    se: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class Gauge(Protocol):
    """Measures one thing over a set of pictures."""

    needs: frozenset[str]

    def add(self, batch: Batch) -> None:
        """Take the next batch."""

    def readings(self) -> list[Reading]:
        """Give the numbers; called once, after the last batch."""
