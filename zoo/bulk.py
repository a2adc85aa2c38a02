"""Bulk work: one job over many units, in this process or over the machines of a Ray cluster.

A unit is a small, picklable description of a piece of work (which pictures, which seed); a job opens what it needs
once (a model, a set) and then turns units into results. Results come in the order of the units, each exactly once,
whatever ran where: a job answers the same unit alike every time, which makes a unit that was begun by a worker that
died one that can simply be done again.

Ray Data (Moritz et al. 2018, arXiv:1712.05889; the extra `ray`) moves units and results; each of its workers is a
process that has opened the job. Workers see what the job names (a model, a set) by the same names as this process:
on one machine they do, on several through a shared folder. Results come back here, and only this process writes.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from zoo.errors import RequestError, ZooError
from zoo.progress import progress

U = TypeVar("U", contravariant=True)
R = TypeVar("R", covariant=True)
BLOCKS = 1000  # at most so many pieces of work are told apart by Ray


class Job(Protocol[U, R]):
    """Picklable plain data that says what to open; the open thing does the units."""

    def open(self) -> Callable[[U], R]:
        """Load what the work needs; called once in every process that works."""


def run(
    job: Job[Any, Any],
    units: Sequence[Any],
    label: str = "",
    ray: str | None = None,
    gpus: int = 0,
) -> Iterator[Any]:
    """The result of every unit, in order, with a progress bar; nothing is opened for no units.

    Args:
        job: what to open and do.
        units: what to do it to.
        label: of the bar.
        ray: None for this process; "auto" for Ray on this machine, or the cluster that RAY_ADDRESS
            names or this machine belongs to; "HOST:PORT" for that cluster.
        gpus: that each of Ray's workers takes; each takes one CPU.

    Raises:
        RequestError: Ray is not installed, or not to be reached.
    """
    if not units:
        return
    if ray is None:
        results: Iterator[Any] = map(job.open(), units)
    else:
        results = _over_ray(job, units, ray, gpus)
    yield from progress(results, len(units), label)


def absolute(name: str) -> str:
    """A path as every process on this machine would write it; any other name as it is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if os.sep in name and path.exists() else name


class Worker:
    """One of Ray's processes: opens the job at its first unit and keeps it open."""

    def __init__(self, job: bytes) -> None:
        self.job = job
        self.work: Callable[[Any], Any] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """A batch of units, pickled, to their results; an error of ours travels as a result."""
        results = []
        for unit in batch["unit"]:
            try:
                if self.work is None:
                    self.work = pickle.loads(self.job).open()
                results.append(pickle.dumps(self.work(pickle.loads(unit))))
            except ZooError as error:
                results.append(pickle.dumps(error))
        return {"number": list(batch["number"]), "result": results}


def _over_ray(job: Any, units: Sequence[Any], address: str, gpus: int) -> Iterator[Any]:
    """Results in order; those that come early wait here."""
    data, stop = _connected(address)
    try:
        items = [{"number": n, "unit": pickle.dumps(unit)} for n, unit in enumerate(units)]
        source = data.from_items(items, override_num_blocks=min(len(items), BLOCKS))
        done = source.map_batches(
            Worker,
            fn_constructor_args=(pickle.dumps(job),),
            batch_size=1,
            compute=data.ActorPoolStrategy(min_size=1, max_size=len(units)),
            num_cpus=1,
            num_gpus=gpus or None,
        )
        early: dict[int, bytes] = {}
        expected = 0
        for row in done.iter_rows():
            number = int(row["number"])
            if number < expected or number in early:
                raise RuntimeError(f"Ray gave unit {number} twice; nothing of it was kept.")
            early[number] = row["result"]
            while expected in early:
                result = pickle.loads(early.pop(expected))
                if isinstance(result, ZooError):
                    raise result
                yield result
                expected += 1
        if expected < len(units):
            raise RuntimeError(f"Ray ended with {expected} of {len(units)} units done.")
    finally:
        stop()


def _connected(address: str) -> tuple[Any, Callable[[], None]]:
    """ray.data, connected, and what ends the connection if it was not there before."""
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        import ray.data
    except ImportError as error:
        raise RequestError("--ray needs Ray: pip install 'genzoo[ray]'.") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # there is a bar already
    if ray.is_initialized():
        return ray.data, lambda: None
    try:
        ray.init(
            address=None if address == "auto" else address,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError) as error:
        raise RequestError(
            f"There is no Ray cluster at {address!r}: {error} `ray start --head` makes one; "
            "--ray auto needs none."
        ) from error
    return ray.data, ray.shutdown
