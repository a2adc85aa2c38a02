"""Evaluation over Ray: workers say what the model makes of batches, gauges here add it up.

A batch's random numbers come from its place alone, and gauges take batches in order, so the numbers are those of one
process (to the last bits of what its batches are on the workers' hardware).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, no_grad, stack

from zoo.evaluate.gauge import Batch


class Step(NamedTuple):
    """A unit of work: the batch's place, and the numbers of its pictures in the set."""

    place: int
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Spread:
    """The job: which model is measured on which set; `ray` says where (see `zoo.bulk.run`)."""

    ray: str | None
    model: str
    request: Mapping[str, Any]
    data: str
    split: str
    size: int
    device: str | None
    seed: int = 0
    batch_size: int = 0
    needs: frozenset[str] = frozenset()

    def open(self) -> Callable[[Step], Batch]:
        """Load the model and the set."""
        from zoo.data import open_set
        from zoo.evaluate.measure import captions_for, made, picture, suited
        from zoo.loading import load

        model = load(self.model, device=self.device)
        model = model.condition(**self.request) if self.request else model
        data = suited(open_set(self.data, self.split, self.size), model.card, self.seed)
        choose = captions_for(data, self.needs)

        def work(step: Step) -> Batch:
            pictures = stack([picture(data[number]) for number in step.numbers])
            with no_grad():
                seed, first = self.seed + step.place, step.place * self.batch_size
                found = made(model, pictures, self.needs, seed, first, choose(step.numbers))
            return _on_cpu(found)

        return work


def _on_cpu(batch: Batch) -> Batch:
    """Copies, so that nothing larger travels along."""
    moved: dict[str, Any] = {}
    for each in dataclasses.fields(batch):
        value = getattr(batch, each.name)
        moved[each.name] = value.clone().cpu() if isinstance(value, Tensor) else value
    return Batch(**moved)
