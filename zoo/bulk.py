"""Bulk work: one job over many units, in this process or over the machines of a Ray cluster.

A unit is a small, picklable description of a piece of work (which pictures, which seed); a job opens what it needs
once (a model, a set) and then turns units into results. Results come in the order of the units, each exactly once,
whatever ran where: a job must therefore answer the same unit alike every time, which makes a unit that was begun by a
worker that died one that can simply be done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from zoo.progress import progress

U = TypeVar("U", contravariant=True)
R = TypeVar("R", covariant=True)


class Job(Protocol[U, R]):
    """Picklable plain data that says what to open; the open thing does the units."""

    def open(self) -> Callable[[U], R]:
        """Load what the work needs; called once in every process that works."""


def run(job: Job[Any, Any], units: Sequence[Any], label: str = "") -> Iterator[Any]:
    """The result of every unit, in order, with a progress bar; nothing is opened for no units."""
    if not units:
        return
    work = job.open()
    yield from progress(map(work, units), len(units), label)
