"""How a diffusers scheduler is run with ours: a given net, given noise, and what comes of every evaluation."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from zoo.errors import ForeignError
from zoo.nn.diffusion.levels import Level
from zoo.nn.diffusion.predictions import Predicted
from zoo.parity import Case, Runner
from zoo_diffusion.schedulers import Plan, plan


def reference_net(x: Tensor, t: float) -> Tensor:
    """The function that stands for a net in the reference's runs."""
    size = 0.7 + 0.3 * torch.sin(torch.tensor(0.01 * t))
    return 0.8 * torch.tanh(0.9 * x) * size + 0.1 * torch.cos(3 * x)


class SchedulerRunner:
    """A whole sampling run, and noise added on the way."""

    name = "diffusers-scheduler"

    def recognise(self, case: Case) -> bool:
        return "num_inference_steps" in case.inputs and "Scheduler" in str(
            (case.config or {}).get("_class_name")
        )

    def run(self, case: Case) -> Mapping[str, Tensor]:
        if case.config is None:
            raise ForeignError(f"{case.folder} has no config.json")
        made = plan(case.config, int(case.inputs["num_inference_steps"]), _eta(case))
        noise, drawn = case.inputs["noise"], 0
        told: list[float] = []
        seen: list[Tensor] = []
        answers: list[Tensor] = []

        def denoise(x: Tensor, level: Level) -> Predicted:
            told.append(float(level.time))
            seen.append(x * level.scale)
            answers.append(reference_net(seen[-1], level.time))
            return made.read(answers[-1], x, level)

        def fresh() -> Tensor:
            nonlocal drawn
            drawn += 1
            return noise[drawn - 1]

        start = case.inputs["x_T"] * made.start
        states, counts = [], []
        for state in made.sampler(denoise, start, made.path, made.options, fresh):
            states.append(state)
            counts.append(drawn)
        out = {
            "timesteps": torch.tensor(told, dtype=torch.float64),
            "init_noise_sigma": torch.tensor(made.start, dtype=torch.float64),
            "start": start,
            "model_input": torch.stack(seen),
            "model_output": torch.stack(answers),
            "prev_sample": torch.stack([each.x for each in states]),
            "pred_original_sample": torch.stack([each.x0 for each in states]),
            "noise_draws_after_step": torch.tensor(counts),
            "sigmas": torch.tensor(made.sigmas, dtype=torch.float64),
        }
        if made.kept is not None:
            out["alphas_cumprod"] = made.kept.float()
        return out | _noised(case, made, told)


def _noised(case: Case, made: Plan, told: list[float]) -> dict[str, Tensor]:
    """Noise added to a picture at some of the times visited, and the velocity there."""
    x0, noise = case.inputs["x0"], case.inputs["noise"][0]
    places = [_place(told, told[int(i)]) for i in case.inputs["add_noise_timesteps_index"]]
    evaluated = [step.at for step in made.path]
    if "HeunDiscreteScheduler" in str(made.config["_class_name"]):
        evaluated = [evaluated[(place + 1) // 2] for place in range(len(told))]
    levels = [evaluated[place] for place in places]
    added = torch.stack(
        [level.noised(*pair) for level, *pair in zip(levels, x0, noise, strict=True)]
    )
    if made.kept is None:
        return {"scale_noise": added}
    # Euler's get_velocity looks up its table by the place of the step
    rows = places if made.exploding else [int(told[place]) for place in places]
    kept = [float(made.kept[row]) for row in rows]
    velocity = [e * k**0.5 - x * (1 - k) ** 0.5 for k, x, e in zip(kept, x0, noise, strict=True)]
    return {"add_noise": added, "velocity": torch.stack(velocity)}


def _place(told: list[float], time: float) -> int:
    """The second place of a time, if it is visited more than once, as the references look it up."""
    found = [place for place, each in enumerate(told) if each == time]
    return found[1] if len(found) > 1 else found[0]


def _eta(case: Case) -> float:
    if "eta" in case.inputs:
        return float(case.inputs["eta"])
    said = re.search(
        r"\beta ?= ?([0-9.]*[0-9])",
        " ".join(map(str, (case.meta.get("call"), case.meta.get("notes")))),
    )
    return float(case.meta.get("eta", said[1] if said else 0.0))


RUNNERS: list[Runner] = [SchedulerRunner()]
