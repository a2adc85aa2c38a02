"""Options of sampling, one vocabulary for all samplers, and what does not go together.

sampler    ddpm ddim euler euler-ancestral heun dpm++2m dpm++3m dpm++2s dpm++sde unipc pndm lcm
steps      how many; evaluations of the net are as many, about twice with heun and dpm++2s
spacing    leading trailing linspace karras exponential; offset with leading
eta        noise put back a step (ddim, euler): 0 none, 1 ddpm's
guidance   weight of the label against none; where sigma / alpha is in [guidance_from, guidance_to]; `rescale` it
classifier weight of the part `classifier`
clip, threshold   the foreseen picture to [-1, 1]; dynamically at this share (0: not)
churn, churn_from, churn_to, churn_noise   Karras' noise before a step (euler, heun)
variance   of ddpm's steps, where the model's own is not wanted
resample, jump    RePaint: each stretch of `jump` steps is taken `resample` times (with a mask)
augment    noise on the small picture of a super-resolution model, as a share of the schedule
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import SimpleNamespace
from typing import Any

from zoo import options
from zoo.errors import RequestError, nearest
from zoo.nn.diffusion import Path, samplers, spacing
from zoo.nn.diffusion.posterior import VARIANCES
from zoo_diffusion.asking import Asked
from zoo_diffusion.net import DiffusionModel

DEFAULTS: dict[str, Any] = {
    "sampler": "ddim", "steps": 0, "spacing": "", "offset": 0, "eta": 0.0, "guidance": 1.0, "guidance_from": 0.0,
    "guidance_to": inf, "rescale": 0.0, "classifier": 0.0, "clip": True, "threshold": 0.0, "churn": 0.0,
    "churn_from": 0.0, "churn_to": inf, "churn_noise": 1.0, "variance": "", "resample": 1, "jump": 10, "augment": 0.1,
}  # fmt: skip
USUAL_STEPS = 50


@dataclass(frozen=True)
class Method:
    """A sampler by name: the function, what it fixes and reads; `finite`: not from pure noise."""

    sampler: samplers.Sampler
    fixed: Mapping[str, Any]
    finite: bool = False
    uses: tuple[str, ...] = ()


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
    "pndm": Method(samplers.pndm, {}, finite=True),
    "lcm": Method(samplers.lcm, {}),
}


@dataclass(frozen=True)
class Chosen:
    """A sampling run, decided: the options by name, the sampler's own, and its path."""

    by_name: SimpleNamespace
    method: Method
    options: samplers.Options
    path: Path


def chosen(net: DiffusionModel, given: Mapping[str, Any], asked: Asked) -> Chosen:
    """Read options. Raises RequestError for what is not known, or does not fit the model or what else is asked."""
    found = options.read(given, "sampling option", **DEFAULTS)
    method = METHODS.get(found.sampler)
    if method is None:
        raise RequestError(
            f"There is no sampler {found.sampler!r}.{nearest(found.sampler, METHODS)} Known: {', '.join(METHODS)}."
        )
    process = net.process
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
        if found.__dict__[name] and name not in method.uses:
            fits = ", ".join(each for each, other in METHODS.items() if name in other.uses)
            raise RequestError(
                f"{name} is no option of sampler = {found.sampler!r}; it is of {fits}."
            )
    _within(found)
    _guided(net, found, asked)
    if found.variance and found.variance not in VARIANCES:
        raise RequestError(
            f"variance must be one of {', '.join(VARIANCES)}, is {found.variance!r}."
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
    return Chosen(found, method, made, spacing.pndm_path(path) if found.sampler == "pndm" else path)


def _within(found: SimpleNamespace) -> None:
    for name, low, high in (
        ("eta", 0, 1), ("threshold", 0, 1), ("rescale", 0, 1), ("augment", 0, 1), ("churn", 0, inf),
        ("resample", 1, inf), ("jump", 1, inf), ("offset", 0, inf), ("steps", 0, inf),
    ):  # fmt: skip
        if not low <= found.__dict__[name] <= high:
            raise RequestError(f"{name} must be within {low} .. {high}, is {found.__dict__[name]}.")


def _guided(net: DiffusionModel, found: SimpleNamespace, asked: Asked) -> None:
    if found.guidance != 1 and not net.null:
        raise RequestError(
            f"guidance = {found.guidance} weighs the label against none, and this model "
            f"{'has no null label' if net.classes else 'has no labels'}: leave guidance out"
            f"{', or give classifier' if net.classifier is not None else ''}."
        )
    if found.guidance != 1 and asked.labels is None:
        raise RequestError("guidance weighs a label: say which with condition(label=...).")
    if found.classifier and net.classifier is None:
        raise RequestError(
            "classifier weighs the part `classifier`, which this model does not have: zoo.compose(name, "
            f"classifier=...){', or give guidance' if net.null else ''}."
        )
    if found.classifier and asked.labels is None:
        raise RequestError("classifier weighs a label: say which with condition(label=...).")
    if (found.resample > 1) and asked.mask is None:
        raise RequestError("resample is for filling in: give condition(image=..., mask=...).")
