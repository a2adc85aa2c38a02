"""Options of sampling, one vocabulary for all samplers, and what does not go together.

sampler    ddpm ddim euler euler-ancestral heun dpm++2m dpm++3m dpm++2s dpm++sde unipc pndm lcm
steps      how many; evaluations of the net are as many, about twice with heun and dpm++2s
spacing    leading trailing linspace karras exponential; offset with leading
eta        noise put back a step (ddim, euler): 0 none, 1 ddpm's
guidance   weight of the condition against none; where sigma / alpha is in [guidance_from, guidance_to]; `rescale` it
clip, threshold   the foreseen picture to [-1, 1]; dynamically at this share (0: not)
churn, churn_from, churn_to, churn_noise   Karras' noise before a step (euler, heun)
variance   of ddpm's steps, where the model's own is not wanted
resample, jump    RePaint: each stretch of `jump` steps is taken `resample` times (with a mask); 0: a 25th of the steps,
           as published; multistep samplers begin anew with each
preview, preview_to, on_preview   the foreseen picture, after every so many answers of the net: zoo.previews

A family adds options of its own and changes defaults: `chosen(process, given, {**DEFAULTS, "clip": False})`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from types import SimpleNamespace
from typing import Any

from zoo import options
from zoo.errors import RequestError, nearest
from zoo.nn.diffusion import samplers, spacing
from zoo.nn.diffusion.levels import Path
from zoo.nn.diffusion.posterior import VARIANCES
from zoo.nn.diffusion.process import Process
from zoo.previews import OPTIONS as PREVIEWS
from zoo.previews import Previews

DEFAULTS: dict[str, Any] = {
    "sampler": "ddim", "steps": 0, "spacing": "", "offset": 0, "eta": 0.0, "guidance": 1.0, "guidance_from": 0.0,
    "guidance_to": inf, "rescale": 0.0, "clip": True, "threshold": 0.0, "churn": 0.0,
    "churn_from": 0.0, "churn_to": inf, "churn_noise": 1.0, "variance": "", "resample": 1, "jump": 0, **PREVIEWS,
}  # fmt: skip
RANGES: dict[str, tuple[float, float]] = {
    "eta": (0, 1), "threshold": (0, 1), "rescale": (0, 1), "churn": (0, inf), "resample": (1, inf), "jump": (0, inf),
    "offset": (0, inf), "steps": (0, inf),
}  # fmt: skip
USUAL_STEPS = 50


@dataclass(frozen=True)
class Method:
    """A sampler by name: the function, what it fixes and reads; `finite`: not from pure noise.

    `begun` makes of a stretch of steps the one that the sampler begins with.
    """

    sampler: samplers.Sampler
    fixed: Mapping[str, Any]
    finite: bool = False
    uses: tuple[str, ...] = ()
    begun: Callable[[Path], Path] = lambda path: path

    def asks(self, path: Path) -> int:
        """How often it asks the net on the way along `path`."""
        if self.sampler is samplers.heun:
            return sum(1 + bool(step.to.sigma) for step in path)
        if self.sampler is samplers.dpm_single:
            return sum(1 + bool(step.to.sigma and step.at.alpha) for step in path)
        return len(self.begun(path))


METHODS: dict[str, Method] = {
    "ddpm": Method(samplers.ddpm, {}, uses=("variance",)),
    "ddim": Method(samplers.ddim, {}, uses=("eta",)),
    "euler": Method(samplers.euler, {}, uses=("eta", "churn")),
    "euler-ancestral": Method(samplers.euler, {"eta": 1.0}),
    "heun": Method(samplers.heun, {}, uses=("churn",)),
    "dpm++2m": Method(samplers.dpm, {"order": 2}),
    "dpm++3m": Method(samplers.dpm, {"order": 3}),
    "dpm++2s": Method(samplers.dpm_single, {}),
    "dpm++sde": Method(samplers.dpm, {"order": 2, "sde": True}),
    "unipc": Method(samplers.unipc, {"order": 2}, finite=True),
    "pndm": Method(samplers.pndm, {}, finite=True, begun=spacing.pndm_path),
    "lcm": Method(samplers.lcm, {}),
}


@dataclass(frozen=True)
class Chosen:
    """A sampling run, decided: the options by name, the sampler's own, its path, and what is shown of it.

    `start` is what the first noise is multiplied with; None: as the process says.
    """

    by_name: SimpleNamespace
    method: Method
    options: samplers.Options
    path: Path
    previews: Previews
    start: float | None = None


def chosen(
    process: Process, given: Mapping[str, Any], defaults: Mapping[str, Any] = DEFAULTS
) -> Chosen:
    """Read options. Raises RequestError for what is not known, or does not fit the process or each other."""
    found = options.read(given, "sampling option", **defaults)
    method = METHODS.get(found.sampler)
    if method is None:
        raise RequestError(
            f"There is no sampler {found.sampler!r}.{nearest(found.sampler, METHODS)} Known: {', '.join(METHODS)}."
        )
    path = spacing.path(
        process, found.steps or min(USUAL_STEPS, process.steps), found.spacing or None, found.offset
    )
    if method.finite and not path.steps[0].at.alpha:
        fits = ", ".join(name for name, each in METHODS.items() if not each.finite)
        raise RequestError(
            f"sampler = {found.sampler!r} works with the logarithm of sigma / alpha, and this model (schedule "
            f"{process.schedule!r}, prediction {process.prediction!r}) begins with pure noise, where that is infinite. "
            f"These fit: {fits}."
        )
    for name in ("eta", "churn", "variance"):
        if getattr(found, name) and name not in method.uses:
            fits = ", ".join(each for each, other in METHODS.items() if name in other.uses)
            raise RequestError(
                f"{name} is no option of sampler = {found.sampler!r}; it is of {fits}."
            )
    within(found, RANGES)
    known = [
        each for each in VARIANCES if not each.startswith("learned") or each == process.variance
    ]
    if found.variance and found.variance not in known:
        raise RequestError(
            f"variance must be one of {', '.join(known)}, as this model's net knows them, is {found.variance!r}."
        )
    for low, high in (("guidance_from", "guidance_to"), ("churn_from", "churn_to")):
        if not getattr(found, low) < getattr(found, high):
            raise RequestError(
                f"{low} = {getattr(found, low):g} must be below {high} = {getattr(found, high):g}: both are of "
                "sigma / alpha, which falls while a picture is drawn."
            )
    made = samplers.Options(
        **{"eta": found.eta, **method.fixed},
        variance=found.variance or process.variance,
        churn=found.churn,
        churn_from=found.churn_from,
        churn_to=found.churn_to,
        churn_noise=found.churn_noise,
        lower_last=len(path) < 15,
    )
    return Chosen(
        found, method, made, path, Previews(found.preview, found.preview_to, found.on_preview)
    )


def within(found: SimpleNamespace, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Raises RequestError for an option outside of its range."""
    for name, (low, high) in ranges.items():
        value = getattr(found, name)
        if not low <= value <= high:
            raise RequestError(f"{name} must be within {low} .. {high}, is {value}.")
