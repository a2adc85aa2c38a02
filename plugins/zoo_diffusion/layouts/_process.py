"""The process a published checkpoint was trained with, as our configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def openai(channels: int, outputs: int, said: Mapping[str, Any]) -> dict[str, Any]:
    """Of OpenAI's flags: {schedule, steps, prediction, variance}."""
    steps = int(said.get("steps", 1000))
    process: dict[str, Any] = {
        "schedule": said.get("schedule", "linear"),
        "steps": steps,
        "prediction": "x0" if said.get("predict_xstart") else "eps",
        "variance": "learned-range" if outputs == 2 * channels else "beta",
    }
    return process


def diffusers(channels: int, outputs: int, scheduler: Mapping[str, Any] | None) -> dict[str, Any]:
    """Of a diffusers scheduler's configuration; DDPM's without one."""
    said = scheduler or {}
    kinds = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
    return {
        "schedule": said.get("beta_schedule", "linear"),
        "steps": int(said.get("num_train_timesteps", 1000)),
        "prediction": kinds[said.get("prediction_type", "epsilon")],
        "variance": "learned-range" if outputs == 2 * channels else "beta",
    }
