"""The levels that diffusers' schedulers visit, for a configuration and a number of steps.

Letters: T times of the schedule, n steps; abar (T,) the signal's variance; s = sigma / alpha.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import exp, lgamma, log

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import ForeignError
from zoo.nn.diffusion.levels import CLEAN, Level, Path, Step
from zoo.nn.diffusion.spacing import ladder

BY_TIME = ("DDIMScheduler", "DDPMScheduler", "PNDMScheduler")
EXPLODING = ("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler")
Config = Mapping[str, object]
Row = NDArray[np.float64]


def preserving(time: float, ratio: float) -> Level:
    """alpha^2 + sigma^2 = 1."""
    alpha = (ratio**2 + 1) ** -0.5
    return Level(time, alpha, ratio * alpha)


def exploding(time: float, ratio: float) -> Level:
    """Alpha = 1; the net sees a picture of variance one."""
    return Level(time, 1.0, ratio, (ratio**2 + 1) ** -0.5)


def linear(time: float, sigma: float) -> Level:
    """Alpha + sigma = 1."""
    return Level(time, 1 - sigma, sigma)


def through(
    times: Sequence[float], ratios: Sequence[float], level: Callable[[float, float], Level]
) -> Path:
    """From each ratio to the next, (n,) times and at least n + 1 ratios."""
    met = [level(t, s) for t, s in zip([*times, 0.0], ratios, strict=False)]
    met = [CLEAN if not each.sigma else each for each in met]
    steps = tuple(Step(at, to, at) for at, to in pairwise(met))
    return Path(steps, lambda ratio: level(float("nan"), ratio))


def ddpm(said: Config, steps: int, kept: Tensor) -> Path:
    """To the next time visited, from the last one to the clean picture."""
    met = [_at(t, kept) for t in _times(said, steps)]
    chain = [*met, CLEAN]
    return Path(tuple(Step(a, b, a) for a, b in pairwise(chain)), _nowhere)


def ddim(said: Config, steps: int, kept: Tensor) -> Path:
    """From each time t to t - T // n."""
    gap, end = _gap(said, steps), _end(said, kept)
    found = []
    for t in _times(said, steps):
        at = _at(t, kept)
        found.append(Step(at, _at(t - gap, kept) if t >= gap else end, at))
    return Path(tuple(found), _nowhere)


def pndm(said: Config, steps: int, kept: Tensor) -> Path:
    """Linear multistep by T // n, after a step of two evaluations or three of Runge and Kutta."""
    gap, end = _gap(said, steps), _end(said, kept)

    def level(t: int) -> Level:
        return _at(t, kept) if t >= 0 else end

    rising = _times(said, steps)[::-1]
    if said["skip_prk_steps"]:
        falling = rising[::-1]
        if len(falling) < 2:
            raise ForeignError("PNDM with skip_prk_steps takes 2 steps or more")
        first, second = falling[0], falling[1]
        found = [Step(level(first), level(first - gap), level(first))]
        found += [Step(level(second), level(second), level(second + gap))]
        found += [Step(level(t), level(t - gap), level(t)) for t in falling[1:]]
        return Path(tuple(found), _nowhere)
    if steps < 4:
        raise ForeignError("PNDM with Runge and Kutta's steps takes 4 steps or more")
    half = gap // 2
    pairs = [t + late for t in rising[-4:] for late in (0, half)][:-1]
    asked = [t for t in pairs for _ in range(2)][1:-1][::-1]
    found = []
    for count, t in enumerate(asked):
        base = level(asked[count // 4 * 4])
        at = base if count % 4 == 0 else level(t)
        found.append(Step(at, level(t - (0 if count % 2 else half)), base))
    found += [Step(level(t), level(t - gap), level(t)) for t in rising[:-3][::-1]]
    return Path(tuple(found), _nowhere)


def sigmas(said: Config, steps: int, kept: Tensor) -> tuple[list[float], list[float]]:
    """What the net is told (n,), and the ratios (n + 1,), of a scheduler that works with them."""
    name = str(said["_class_name"])
    multistep = name not in EXPLODING
    alphas = kept.numpy()
    all_ratios: Row = np.sqrt((1 - alphas) / alphas)
    times = np.array(
        _multistep_times(said, steps, all_ratios) if multistep else _times(said, steps, False)
    )
    ratios: Row = np.interp(times, np.arange(len(all_ratios)), all_ratios)
    spaced = next(
        (key for key in ("karras", "exponential", "beta") if said.get(f"use_{key}_sigmas")), None
    )
    if spaced is None and said.get("use_lu_lambdas"):
        spaced = "lu"
    final = float(all_ratios[0])
    if spaced is None and said.get("use_flow_sigmas"):
        return _flow_multistep(said, steps, final)
    if spaced is not None:
        ends = (all_ratios[-1], all_ratios[0]) if multistep else (ratios[0], ratios[-1])
        low = said.get("sigma_min") if said.get("sigma_min") is not None else ends[1]
        high = said.get("sigma_max") if said.get("sigma_max") is not None else ends[0]
        ratios = _spaced(spaced, float(high), float(low), steps)  # type: ignore[arg-type]
        times = _time_of(ratios, all_ratios)
        smooth = said["beta_schedule"] == "squaredcos_cap_v2" and name.startswith("DPM")
        if multistep and (spaced == "karras" or spaced == "lu") and not smooth:
            times = times.round()
        if name.startswith("UniPC"):
            final = float(ratios[-1])
            if said.get("use_flow_sigmas"):
                ratios = ratios / (ratios + 1)
                times, final = ratios * _total(said), float(ratios[-1])
    elif said.get("interpolation_type") == "log_linear":
        ratios = np.exp(np.linspace(log(all_ratios[-1]), log(all_ratios[0]), steps + 1))
    if multistep:
        times = np.trunc(times)
    zero = said.get("final_sigmas_type", "zero") == "zero"
    found = [*map(float, ratios), 0.0 if zero else final]
    if said.get("timestep_type") == "continuous" and said["prediction_type"] == "v_prediction":
        times = np.array([0.25 * log(each) for each in found[:-1]])
    return [float(t) for t in times], found


def flow(said: Config, steps: int) -> tuple[Path, tuple[float, ...]]:
    """The straight path of flow matching, and its sigmas (n + 1,)."""
    total, shift = _total(said), float(said.get("shift", 1.0))  # type: ignore[arg-type]
    if said.get("use_dynamic_shifting"):
        raise ForeignError(
            "use_dynamic_shifting takes a shift that depends on the picture's size, which the configuration does not "
            "hold; give shift"
        )
    ends = np.array([1.0, 1 / total])
    ends = shift * ends / (1 + (shift - 1) * ends)
    found: Row = np.linspace(ends[0] * total, ends[1] * total, steps) / total
    found = shift * found / (1 + (shift - 1) * found)
    if said.get("shift_terminal"):
        stretch = (1 - found[-1]) / (1 - float(said["shift_terminal"]))  # type: ignore[arg-type]
        found = 1 - (1 - found) / stretch
    for kind in ("karras", "exponential", "beta"):
        if said.get(f"use_{kind}_sigmas"):
            found = _spaced(kind, float(found[0]), float(found[-1]), steps)
    inverted = bool(said.get("invert_sigmas"))
    found = 1 - found if inverted else found
    every = [*map(float, found), 1.0 if inverted else 0.0]
    met = [linear(s * total, s) for s in every]
    steps_ = tuple(Step(a, b, a) for a, b in pairwise(met))
    return Path(steps_, lambda ratio: linear(float("nan"), ratio / (1 + ratio))), tuple(every)


def _flow_multistep(said: Config, steps: int, final: float) -> tuple[list[float], list[float]]:
    total, shift = _total(said), float(said.get("flow_shift", 1.0))  # type: ignore[arg-type]
    if str(said["_class_name"]).startswith("DPM"):
        found: Row = 1 - np.linspace(1, 1 / total, steps + 1)
        found = np.flip(shift * found / (1 + (shift - 1) * found))[:-1].copy()
    else:
        found = np.linspace(1, 1 / total, steps + 1)[:-1]
        found = shift * found / (1 + (shift - 1) * found)
        if said.get("shift_terminal"):
            stretch = (1 - found[-1]) / (1 - float(said["shift_terminal"]))  # type: ignore[arg-type]
            found = 1 - (1 - found) / stretch
        if abs(found[0] - 1) < 1e-6:
            found[0] -= 1e-6
        final = float(found[-1])
    zero = said.get("final_sigmas_type", "zero") == "zero"
    return [float(int(t)) for t in found * total], [*map(float, found), 0.0 if zero else final]


def _times(said: Config, steps: int, whole: bool = True) -> list[int]:
    """Falling times (n,) by `timestep_spacing`; `whole`: linspace is rounded."""
    total, spacing = _total(said), said["timestep_spacing"]
    if not 1 <= steps <= total:
        raise ForeignError(f"{steps} steps are outside of the schedule, which has {total}")
    if spacing == "linspace":
        found = np.linspace(0, total - 1, steps)[::-1]
        return [int(t) for t in found.round()] if whole else found.tolist()
    if spacing == "leading":
        return [i * (total // steps) + int(said["steps_offset"]) for i in range(steps)][::-1]  # type: ignore[call-overload]
    if spacing == "trailing":
        return [int(t) - 1 for t in np.arange(total, 0, -total / steps).round()]
    raise ForeignError(f"timestep_spacing = {spacing!r} is none of linspace, leading, trailing")


def _multistep_times(said: Config, steps: int, ratios: Row) -> list[int]:
    """DPM-Solver's and UniPC's, which leave out the last of n + 1, and begin below `lambda_min_clipped`."""
    total, spacing = _total(said), said["timestep_spacing"]
    least = float(said.get("lambda_min_clipped", float("-inf")))  # type: ignore[arg-type]
    last = total - int(np.searchsorted(-np.log(ratios[::-1]), least))
    if spacing == "linspace":
        return [int(t) for t in np.linspace(0, last - 1, steps + 1).round()[::-1][:-1]]
    if spacing == "leading":
        gap = last // (steps + 1)
        return [i * gap + int(said["steps_offset"]) for i in range(steps + 1)][::-1][:-1]  # type: ignore[call-overload]
    if spacing == "trailing":
        return [int(t) - 1 for t in np.arange(last, 0, -total / steps).round()]
    raise ForeignError(f"timestep_spacing = {spacing!r} is none of linspace, leading, trailing")


def _spaced(kind: str, high: float, low: float, steps: int) -> Row:
    if kind == "lu":
        return np.exp(np.linspace(log(high), log(low), steps))
    if kind == "beta":
        shares = [beta_quantile(1 - i / max(steps - 1, 1)) for i in range(steps)]
        return np.array([low + share * (high - low) for share in shares])
    return np.array(ladder(high, low, steps, kind))


def _time_of(ratios: Row, all_ratios: Row) -> Row:
    """Times whose ln s is that of `ratios`, linear in between, within the schedule."""
    logs = np.log(np.maximum(ratios, 1e-10))
    return np.interp(logs, np.log(all_ratios), np.arange(len(all_ratios)))


def beta_quantile(share: float, a: float = 0.6) -> float:
    """The quantile of the Beta(a, a) distribution (Lee et al., 2024, arXiv:2407.12173), by bisection."""
    if share in (0.0, 1.0):
        return share
    if share > 0.5:
        return 1 - beta_quantile(1 - share, a)
    scale = exp(lgamma(2 * a) - 2 * lgamma(a)) / a

    def mass(x: float) -> float:
        term = total = 1.0
        for n in range(80):  # 2F1(a, 1 - a; a + 1; x), x <= 1/2
            term *= (a + n) * (1 - a + n) / ((a + 1 + n) * (n + 1)) * x
            total += term
        return scale * float(x**a) * total

    low, high = 0.0, 0.5
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if mass(middle) < share else (low, middle)
    return (low + high) / 2


def _at(t: int, kept: Tensor) -> Level:
    row = float(kept[t])
    return Level(float(t), row**0.5, (1 - row) ** 0.5)


def _end(said: Config, kept: Tensor) -> Level:
    return CLEAN if said["set_alpha_to_one"] else _at(0, kept)


def _gap(said: Config, steps: int) -> int:
    return _total(said) // steps


def _total(said: Config) -> int:
    return int(said["num_train_timesteps"])  # type: ignore[call-overload, no-any-return]


def _nowhere(ratio: float) -> Level:
    raise ForeignError("this scheduler visits the times of its schedule alone")
