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
