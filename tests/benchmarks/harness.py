"""Paired measurement: two sides of one question, in one process, by turns.

The machine is shared, so one side's seconds mean little. Every round calls each side once (or as many times as make
the quickest take `SHORTEST` seconds), the order turning from round to round; a round gives one ratio a peer, and the
median of the rounds' ratios is the answer. Wall time and the process's own CPU time are both kept: where a stranger's
load makes the wall-time pairs spread by more than `SPREAD`, CPU time, which does not count waiting, is what is judged;
where that spreads too, the answer is "inconclusive".
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SHORTEST = 0.2  # seconds a side should run in a round: short calls are repeated
SPREAD = 1.5  # between the largest and the smallest ratio of the rounds


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as a peer, round by round; of wall or of CPU seconds."""

    pairs: Sequence[float]
    minima: float

    @property
    def median(self) -> float:
        return statistics.median(self.pairs)

    @property
    def quartiles(self) -> tuple[float, float]:
        low, _, high = statistics.quantiles(self.pairs, n=4, method="inclusive")
        return low, high

    @property
    def spread(self) -> float:
        """Largest over smallest, without the outermost tenth on either side (none of fewer than 10 pairs)."""
        aside = len(self.pairs) // 10
        inner = sorted(self.pairs)[aside : len(self.pairs) - aside]
        return inner[-1] / inner[0]

    def text(self) -> str:
        low, high = self.quartiles
        return (
            f"{self.median:.2f} [{min(self.pairs):.2f} {low:.2f} .. {high:.2f} {max(self.pairs):.2f}], "
            f"min/min {self.minima:.2f}"
        )


@dataclass
class Result:
    """One line of the report: what was asked, what was measured, whether it clears the target."""

    name: str
    verdict: str  # "pass", "MISS", "inconclusive" or "info"
    text: str
    numbers: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        return f"{self.verdict:<12} {self.name}: {self.text}"

    def json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Rounds:
    """Seconds of every side in every round, one call each."""

    wall: Mapping[str, Sequence[float]]
    cpu: Mapping[str, Sequence[float]]
    loops: int

    def ratio(self, ours: str, peer: str, clock: str = "wall") -> Ratio:
        seconds = getattr(self, clock)
        pairs = [theirs / mine for theirs, mine in zip(seconds[peer], seconds[ours], strict=True)]
        return Ratio(pairs, min(seconds[peer]) / min(seconds[ours]))

    def judge(self, name: str, ours: str, peer: str, target: float, stretch: float = 0) -> Result:
        """`ours` at least `target` times as fast as `peer`: the median, and the lower quartile within 10 % of it."""
        ratios = {clock: self.ratio(ours, peer, clock) for clock in ("wall", "cpu")}
        clock = next((c for c in ("wall", "cpu") if ratios[c].spread <= SPREAD), None)
        goal = f"target {target:.2f}" + (f", stretch {stretch:.2f}" if stretch else "")
        text = f"x {peer} ({goal}): wall {ratios['wall'].text()}; CPU {ratios['cpu'].text()}"
        text += f"; ours {min(self.wall[ours]) * 1e3:.1f} ms, {peer} {min(self.wall[peer]) * 1e3:.1f} ms at best"
        if clock is None:
            verdict = "inconclusive"
        else:
            ratio = ratios[clock]
            enough = ratio.median >= target and ratio.quartiles[0] >= 0.9 * target
            verdict = "pass" if enough else "MISS"
            text += f" (judged by {clock} time)"
        numbers = {
            "target": target,
            "peer": peer,
            "judged_by": clock,
            "loops": self.loops,
            **{f"{c}_median": ratios[c].median for c in ratios},
            **{f"{c}_pairs": list(ratios[c].pairs) for c in ratios},
            "wall_seconds": {side: list(self.wall[side]) for side in (ours, peer)},
            "cpu_seconds": {side: list(self.cpu[side]) for side in (ours, peer)},
        }
        return Result(name, verdict, text, numbers)


def measure(sides: Mapping[str, Callable[[], object]], rounds: int) -> Rounds:
    """Call every side `rounds` times after a warm-up call, by turns, the order turning by one each round."""
    names = list(sides)
    quickest = float("inf")
    for call in sides.values():
        call()
        started = time.perf_counter()
        call()
        quickest = min(quickest, time.perf_counter() - started)
    loops = max(1, round(SHORTEST / quickest))
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            call = sides[name]
            spent, started = time.process_time(), time.perf_counter()
            for _ in range(loops):
                call()
            wall[name].append((time.perf_counter() - started) / loops)
            cpu[name].append((time.process_time() - spent) / loops)
    return Rounds(wall, cpu, loops)


def agree(what: str, ours: Any, theirs: Any, tolerance: float) -> str:
    """Hold two tensors to each other before anything is timed. Raises SystemExit stating the difference."""
    if ours.shape != theirs.shape:
        raise SystemExit(f"{what}: shapes {tuple(ours.shape)} and {tuple(theirs.shape)}")
    error = (ours.double() - theirs.double()).abs().max().item()
    scale = theirs.double().abs().max().item()
    if not error <= tolerance:
        raise SystemExit(f"{what}: the largest difference is {error:.2e}, allowed {tolerance:.0e}")
    return f"same output: {what} differs by {error:.1e} at most (allowed {tolerance:.0e}, largest value {scale:.2g})"
