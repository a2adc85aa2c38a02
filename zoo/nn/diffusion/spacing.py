"""Which levels a sampler visits.

    leading   t = i floor(T / n) + offset            trailing  t = T - i T / n - 1          linspace  T - 1 ... 0
    karras    s^(1/7) evenly spaced, s = sigma / alpha (Karras et al., 2022, arXiv:2206.00364, eq. 5)
    exponential  ln s evenly spaced

Leading is DDIM's, trailing the one that begins where training ended (Lin et al., 2023, arXiv:2305.08891, table 2).
OpenAI's respacing, `sections`, divides the schedule and takes steps evenly from each part. Every path ends at the clean
picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log

from zoo.errors import RequestError
from zoo.nn.diffusion.levels import CLEAN, Level, Path, Step
from zoo.nn.diffusion.process import Process

SPACINGS = ("leading", "trailing", "linspace", "karras", "exponential")
RHO = 7.0


def usual(process: Process) -> str:
    """The spacing of a process where none is asked for."""
    if not process.continuous:
        return "linspace"
    return "karras" if process.schedule == "edm" else "trailing"


def path(process: Process, steps: int, spacing: str | None = None, offset: int = 0) -> Path:
    """A path of `steps` steps from the noisiest level to the clean picture.

    Raises RequestError for a spacing that does not exist or fit the process, or steps outside its schedule.
    """
    found = levels(process, steps, spacing or usual(process), offset)
    return Path.through([*found, CLEAN], process.at)


def levels(process: Process, steps: int, spacing: str, offset: int = 0) -> list[Level]:
    """The levels (n,) from the noisiest; see `path`."""
    if spacing not in SPACINGS:
        raise RequestError(f"There is no spacing {spacing!r}. Known: {', '.join(SPACINGS)}.")
    if not 1 <= steps <= process.steps:
        raise RequestError(
            f"steps = {steps} is outside of this model's schedule of {process.steps}: take 1 to {process.steps}."
        )
    if spacing in ("karras", "exponential"):
        return [process.at(ratio) for ratio in _ratios(process, steps, spacing)]
    if not process.continuous:
        return [process.level(t) for t in times(process.steps, steps, spacing, offset)]
    if process.schedule == "edm" or spacing == "leading":
        raise RequestError(
            f"spacing = {spacing!r} counts the steps of a discrete schedule; this model's schedule "
            f"{process.schedule!r} is continuous: take {usual(process)!r}."
        )
    low = 1 / steps if spacing == "trailing" else 1 / process.steps
    shares = [1 - (1 - low) * i / max(steps - 1, 1) for i in range(steps)]
    shift = process.shift
    return [process.level(min(shift * t / (1 + (shift - 1) * t), 1.0)) for t in shares]


def times(total: int, steps: int, spacing: str, offset: int = 0) -> list[int]:
    """Times (n,) of a discrete schedule, falling. Raises RequestError for an offset that leaves it."""
    if spacing == "leading":
        found = [i * (total // steps) + offset for i in range(steps)][::-1]
    elif spacing == "trailing":
        found = [round(total - i * total / steps) - 1 for i in range(steps)]
    else:
        found = [round(i * (total - 1) / max(steps - 1, 1)) for i in range(steps)][::-1]
        found = [total - 1] if steps == 1 else found
    if not (found[-1] >= 0 and found[0] < total):
        raise RequestError(
            f"offset = {offset} moves {steps} steps out of the schedule 0 .. {total - 1}: times {found[-1]} .. "
            f"{found[0]}."
        )
    return found


def sections(total: int, counts: Sequence[int] | str) -> list[int]:
    """Times of OpenAI's respacing, rising: "ddimN" or counts a part, "10,15,20".

    Raises RequestError where a part has fewer steps than are asked of it.
    """
    if isinstance(counts, str) and counts.startswith("ddim"):
        wanted = int(counts.removeprefix("ddim"))
        for stride in range(1, total):
            if len(range(0, total, stride)) == wanted:
                return list(range(0, total, stride))
        raise RequestError(f"no stride takes exactly {wanted} of {total} steps")
    if isinstance(counts, str):
        counts = [int(each) for each in counts.split(",")] if counts else [total]
    taken: list[int] = []
    start = 0
    for index, count in enumerate(counts):
        size = total // len(counts) + (index < total % len(counts))
        if size < count:
            raise RequestError(f"a part of {size} steps cannot be taken in {count}")
        step, place = (size - 1) / (count - 1) if count > 1 else 1.0, 0.0
        for _ in range(count):
            taken.append(start + round(place))
            place += step
        start += size
    return sorted(set(taken))


def pndm_path(found: Path) -> Path:
    """The path for `samplers.pndm`: its second level is visited twice, the first step being taken twice."""
    steps = list(found)
    if len(steps) < 2:
        return found
    first, second = steps[0], steps[1]
    again = Step(second.at, second.at, first.at)
    return Path((first, again, *steps[1:]), found.level)


def _ratios(process: Process, steps: int, spacing: str) -> list[float]:
    high, low = (process.level(t).ratio for t in (process.last, process.first))
    if high == inf:
        raise RequestError(
            f"spacing = {spacing!r} needs a finite noise-to-signal ratio to begin with; this model begins with pure "
            f"noise: take {usual(process)!r}."
        )
    return ladder(high, low, steps, spacing)


def ladder(high: float, low: float, steps: int, spacing: str) -> list[float]:
    """Ratios (n,) from `high` down to `low`, evenly spaced in s^(1/7) or in ln s."""
    shares = [i / max(steps - 1, 1) for i in range(steps)]
    if spacing == "exponential":
        return [exp(log(high) + share * (log(low) - log(high))) for share in shares]
    top, bottom = high ** (1 / RHO), low ** (1 / RHO)
    return [(top + share * (bottom - top)) ** RHO for share in shares]
