"""The process that a published network was trained with, as options of `zoo.nn.diffusion.Process`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.errors import ForeignError
from zoo_diffusion import schedulers


def openai(channels: int, outputs: int, said: Mapping[str, Any]) -> dict[str, Any]:
    """Of OpenAI's flags, under the names of `_flags`. Raises ForeignError for a schedule that is not known."""
    steps, schedule = int(said.get("steps", 1000)), said.get("schedule", "linear")
    if schedule not in ("linear", "cosine"):
        raise ForeignError(
            f"noise_schedule {schedule!r} is not supported; there are linear and cosine"
        )
    fixed = "posterior" if said.get("sigma_small") else "beta"
    process: dict[str, Any] = {
        "schedule": schedule,
        "steps": steps,
        "prediction": "x0" if said.get("predict_xstart") else "eps",
        "variance": "learned-range" if outputs == 2 * channels else fixed,
    }
    if said.get("rescale_t") and steps != 1000:
        process["clock"] = 1000
    return process


def diffusers(channels: int, outputs: int, scheduler: Mapping[str, Any] | None) -> dict[str, Any]:
    """Of a diffusers scheduler's configuration; DDPM's without one. Raises ForeignError for what is not supported."""
    said = scheduler or {"_class_name": "DDPMScheduler", "variance_type": "fixed_large"}
    found = schedulers.process(said, learned=outputs == 2 * channels)
    if outputs == channels and str(found.get("variance", "")).startswith("learned"):
        raise ForeignError(
            f"variance_type {said['variance_type']!r}, but the net gives {outputs} channels of {channels}: none of "
            "them says anything of a variance"
        )
    return found
