"""The process that a published latent diffusion model was trained with, as options of `zoo.nn.diffusion.Process`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.errors import ForeignError
from zoo_diffusion import schedulers

STABLE = {
    "schedule": "scaled-linear",
    "steps": 1000,
    "prediction": "eps",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}  # of Stable Diffusion 1.x
_SCHEDULES = {"linear": "scaled-linear", "sqrt_linear": "linear", "cosine": "cosine"}
_PREDICTIONS = ("eps", "x0", "v")


def compvis(params: Mapping[str, Any]) -> dict[str, Any]:
    """Of LatentDiffusion's arguments. Raises ForeignError for what is not supported."""
    schedule, kind = params.get("beta_schedule", "linear"), params.get("parameterization", "eps")
    if schedule not in _SCHEDULES:
        raise ForeignError(
            f"beta_schedule {schedule!r} is not supported; there are {', '.join(_SCHEDULES)}"
        )
    if kind not in _PREDICTIONS:
        raise ForeignError(
            f"parameterization {kind!r} is not supported; there are {', '.join(_PREDICTIONS)}"
        )
    found = {
        "schedule": _SCHEDULES[schedule],
        "steps": int(params.get("timesteps", 1000)),
        "prediction": kind,
    }
    if schedule != "cosine":
        found["beta_start"] = float(params.get("linear_start", 1e-4))
        found["beta_end"] = float(params.get("linear_end", 2e-2))
    return found


def diffusers(scheduler: Mapping[str, Any]) -> dict[str, Any]:
    """Of a diffusers scheduler's configuration. Raises ForeignError for what is not supported."""
    return schedulers.process(scheduler)
