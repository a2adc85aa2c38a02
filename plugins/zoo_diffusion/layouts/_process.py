"""The process that a published network was trained with, as options of `zoo.nn.diffusion.Process`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.errors import ForeignError, listed

SCHEDULES = {
    "linear": "linear",
    "scaled_linear": "scaled-linear",
    "squaredcos_cap_v2": "cosine",
    "sigmoid": "sigmoid-betas",
    "exp": "exponential",
    "laplace": "laplace",
}
PREDICTIONS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
VARIANCES = {
    "fixed_small": "posterior",
    "fixed_small_log": "posterior",
    "fixed_large": "beta",
    "fixed_large_log": "beta",
    "learned": "learned",
    "learned_range": "learned-range",
}


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
    said = scheduler or {"variance_type": "fixed_large"}
    steps = int(said.get("num_train_timesteps", 1000))
    if str(said.get("_class_name", "")).startswith("FlowMatch"):
        flow = {"schedule": "flow", "steps": steps, "prediction": "velocity"}
        return flow | {"clock": steps, "shift": float(said.get("shift", 1.0))}
    names = (
        ("beta_schedule", SCHEDULES, "linear"),
        ("prediction_type", PREDICTIONS, "epsilon"),
        ("variance_type", VARIANCES, "fixed_small"),
    )
    schedule, prediction, variance = (
        _known(key, table, said.get(key) or usual) for key, table, usual in names
    )
    if outputs == 2 * channels:
        variance = "learned-range"
    elif variance.startswith("learned"):
        raise ForeignError(
            f"variance_type {said['variance_type']!r}, but the net gives {outputs} channels of {channels}: none of them "
            "says anything of a variance"
        )
    process: dict[str, Any] = {
        "schedule": schedule,
        "steps": steps,
        "prediction": prediction,
        "variance": variance,
    }
    if said.get("trained_betas") is not None:
        process["betas"] = [float(each) for each in said["trained_betas"]]
    elif schedule in ("linear", "scaled-linear", "sigmoid-betas"):
        process["beta_start"] = float(said.get("beta_start", 1e-4))
        process["beta_end"] = float(said.get("beta_end", 0.02))
    if said.get("rescale_betas_zero_snr"):
        process["zero_snr"] = True
    return process


def _known(key: str, table: Mapping[str, str], value: Any) -> str:
    if value not in table:
        raise ForeignError(f"{key} {value!r} is not supported; there are {listed(table)}")
    return table[value]
