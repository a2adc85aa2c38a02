"""Diffusers' scheduler configurations, read as they are published: `scheduler_config.json`.

A configuration fixes three things: the process a net was trained with (`process`), the levels that a sampler visits,
and the sampler. Those schedulers that work with sigma / alpha ("exploding" below: Euler, Heun) move x / alpha; the
others move x. What they do at the ends of a schedule differs from one to the next and is kept: DDIM and PNDM step by
T // n whatever the spacing, DDPM to the next time visited, and some end at the first level in place of the clean
picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ForeignError
from zoo.nn.diffusion import Predicted, samplers
from zoo.nn.diffusion.guidance import dynamic
from zoo.nn.diffusion.levels import Level, Path
from zoo.nn.diffusion.predictions import agreeing, predicted
from zoo.nn.diffusion.schedules import betas, zero_terminal
from zoo_diffusion import visits

PREDICTIONS = {
    "epsilon": "eps",
    "sample": "x0",
    "original_sample": "x0",
    "v_prediction": "v",
    "flow_prediction": "velocity",
}
SCHEDULES = {
    "linear": "linear",
    "scaled_linear": "scaled-linear",
    "squaredcos_cap_v2": "cosine",
    "sigmoid": "sigmoid-betas",
    "exp": "exponential",
    "laplace": "laplace",
}
VARIANCES = {
    "fixed_small": "posterior",
    "fixed_small_log": "posterior",
    "fixed_large": "beta",
    "learned": "learned",
    "learned_range": "learned-range",
}
COMMON: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "steps_offset": 0,
    "rescale_betas_zero_snr": False,
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "timestep_spacing": "linspace",
}
OWN: dict[str, dict[str, Any]] = {
    "DDIMScheduler": {"clip_sample": True, "timestep_spacing": "leading", "set_alpha_to_one": True},
    "DDPMScheduler": {
        "clip_sample": True,
        "timestep_spacing": "leading",
        "variance_type": "fixed_small",
    },
    "PNDMScheduler": {
        "timestep_spacing": "leading",
        "skip_prk_steps": False,
        "set_alpha_to_one": False,
    },
    "EulerDiscreteScheduler": {},
    "EulerAncestralDiscreteScheduler": {},
    "HeunDiscreteScheduler": {"beta_start": 0.00085, "beta_end": 0.012},
    "DPMSolverMultistepScheduler": {},
    "UniPCMultistepScheduler": {},
    "FlowMatchEulerDiscreteScheduler": {"prediction_type": "flow_prediction"},
}


@dataclass(frozen=True)
class Plan:
    """A scheduler for a number of steps.

    path, sampler, options  how the state moves
    start      what the first noise is multiplied with
    sigmas     the scheduler's own list of noise levels, where it has one; doubled for Heun
    kept       the table abar (T,), where it has one
    exploding  whether it moves x / alpha
    """

    config: Mapping[str, Any]
    path: Path
    sampler: samplers.Sampler
    options: samplers.Options
    start: float = 1.0
    sigmas: tuple[float, ...] = ()
    kept: Tensor | None = None
    exploding: bool = False
    limit: Callable[[Tensor], Tensor] | None = None
    agree: bool = True  # whether the noise is worked out again from a limited picture

    def read(self, output: Tensor, x: Tensor, level: Level) -> Predicted:
        """A net's answer about x at `level`, limited as the configuration says."""
        spread = None
        if output.shape[1] == 2 * x.shape[1]:
            output, spread = output.chunk(2, 1)
        kind = PREDICTIONS[self.config["prediction_type"]]
        found = predicted(kind, output, x, level)._replace(spread=spread)
        if self.limit is None:
            return found
        x0 = self.limit(found.x0)
        return agreeing(found, x0, x, level) if self.agree else found._replace(x0=x0)


def settled(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the scheduler's own defaults. Raises ForeignError for a scheduler that is not known."""
    name = str(config.get("_class_name", "")).removeprefix("Flax")
    if name not in OWN:
        raise ForeignError(f"the scheduler {name!r} is not supported; there are {', '.join(OWN)}")
    made = {**COMMON, **OWN[name], **config, "_class_name": name}
    for key, known in (("beta_schedule", SCHEDULES), ("prediction_type", PREDICTIONS)):
        if made[key] not in known:
            raise ForeignError(
                f"{key} = {made[key]!r} is not supported; there are {', '.join(known)}"
            )
    return made


def process(config: Mapping[str, Any], learned: bool = False) -> dict[str, Any]:
    """The process a scheduler stands for, as a card's configuration; `learned`: the net answers a variance too.

    Raises ForeignError for a scheduler that is not known.
    """
    said = settled(config)
    if said["_class_name"] == "FlowMatchEulerDiscreteScheduler":
        return {"schedule": "flow", "prediction": "velocity", "shift": float(said.get("shift", 1.0)),
                "steps": int(said["num_train_timesteps"])}  # fmt: skip
    made: dict[str, Any] = {
        "steps": int(said["num_train_timesteps"]),
        "prediction": PREDICTIONS[said["prediction_type"]],
        "variance": "learned-range"
        if learned
        else VARIANCES.get(str(said.get("variance_type")), "beta"),
    }
    if said["trained_betas"] is not None:
        return {**made, "betas": [float(each) for each in said["trained_betas"]]}
    made["schedule"] = SCHEDULES[said["beta_schedule"]]
    if made["schedule"] in ("linear", "scaled-linear", "sigmoid-betas"):
        made |= {"beta_start": float(said["beta_start"]), "beta_end": float(said["beta_end"])}
    if said["rescale_betas_zero_snr"]:
        made["zero_snr"] = True
    return made


def table(said: Mapping[str, Any]) -> Tensor:
    """The signal's variance abar (T,), from betas in float32 as the schedulers keep them, then in float64."""
    if said["trained_betas"] is not None:
        found = torch.tensor(said["trained_betas"], dtype=torch.float32).double()
    else:
        name, count = SCHEDULES[said["beta_schedule"]], int(said["num_train_timesteps"])
        ends = float(said["beta_start"]), float(said["beta_end"])
        found = betas(name, count, *ends, dtype=torch.float32).double()
    if said["rescale_betas_zero_snr"]:
        found = zero_terminal(found)
    kept = (1 - found).cumprod(0)
    if said["rescale_betas_zero_snr"] and said["_class_name"] not in visits.BY_TIME:
        kept[-1] = 2.0**-24
    return kept


def plan(config: Mapping[str, Any], steps: int, eta: float = 0.0) -> Plan:
    """How the scheduler of a configuration takes `steps` steps; `eta` is DDIM's.

    Raises ForeignError for what is not supported.
    """
    said = settled(config)
    name = said["_class_name"]
    if name == "FlowMatchEulerDiscreteScheduler":
        path, sigmas = visits.flow(said, steps)
        stochastic = bool(said.get("stochastic_sampling"))
        options = samplers.Options(noise_last=True)
        return Plan(
            said, path, samplers.lcm if stochastic else samplers.euler, options, sigmas=sigmas
        )
    kept = table(said)
    if name in visits.BY_TIME:
        return _by_time(said, steps, kept, eta)
    return _by_ratio(said, steps, kept)


def _by_time(said: Mapping[str, Any], steps: int, kept: Tensor, eta: float) -> Plan:
    name, limit = said["_class_name"], _limit(said)
    if name == "DDPMScheduler":
        path = visits.ddpm(said, steps, kept)
        kind = str(said["variance_type"])
        if kind not in VARIANCES:
            raise ForeignError(
                f"variance_type = {kind!r} is not supported; there are {', '.join(VARIANCES)}"
            )
        options = samplers.Options(variance=VARIANCES[kind], noise_last=path.steps[-1].at.time > 0)
        return Plan(said, path, samplers.ddpm, options, kept=kept, limit=limit)
    if name == "DDIMScheduler":
        path = visits.ddim(said, steps, kept)
        options = samplers.Options(eta=eta)
        return Plan(said, path, samplers.ddim, options, kept=kept, limit=limit, agree=False)
    options = samplers.Options(velocity=said["prediction_type"] == "v_prediction")
    return Plan(said, visits.pndm(said, steps, kept), samplers.pndm, options, kept=kept)


def _by_ratio(said: Mapping[str, Any], steps: int, kept: Tensor) -> Plan:
    name = said["_class_name"]
    times, sigmas = visits.sigmas(said, steps, kept)
    if name in visits.EXPLODING:
        path = visits.through(times, sigmas, visits.exploding)
        heun = name == "HeunDiscreteScheduler"
        ancestral = name == "EulerAncestralDiscreteScheduler"
        doubled = [sigmas[0], *(each for each in sigmas[1:-1] for _ in range(2)), sigmas[-1]]
        top = max(sigmas)
        return Plan(
            said,
            path,
            samplers.heun if heun else samplers.euler,
            samplers.Options(eta=float(ancestral)),
            start=(top**2 + 1) ** 0.5 if said["timestep_spacing"] == "leading" else top,
            sigmas=tuple(doubled if heun else sigmas),
            kept=kept,
            exploding=True,
            limit=_limit(said) if heun else None,
        )
    flow = bool(said.get("use_flow_sigmas"))
    path = visits.through(times, sigmas, visits.linear if flow else visits.preserving)
    options, limit = _multistep(said, steps), _limit({**said, "clip_sample": False})
    if name == "UniPCMultistepScheduler":
        limit = limit if options.data else None
        return Plan(
            said, path, samplers.unipc, options, sigmas=tuple(sigmas), kept=kept, limit=limit
        )
    return Plan(said, path, samplers.dpm, options, sigmas=tuple(sigmas), kept=kept, limit=limit)


def _multistep(said: Mapping[str, Any], steps: int) -> samplers.Options:
    order, lower = int(said.get("solver_order", 2)), bool(said.get("lower_order_final", True))
    if said["_class_name"] == "UniPCMultistepScheduler":
        return samplers.Options(
            order=order,
            data=bool(said.get("predict_x0", True)),
            linear=said.get("solver_type", "bh2") == "bh1",
            lower_last=lower,
            without_corrector=tuple(said.get("disable_corrector") or ()),
        )
    kind = str(said.get("algorithm_type", "dpmsolver++")).replace("deis", "dpmsolver++")
    few, zero = lower and steps < 15, said.get("final_sigmas_type", "zero") == "zero"
    return samplers.Options(
        order=order,
        data=kind.endswith("++"),
        sde=kind.startswith("sde"),
        heun=said.get("solver_type", "midpoint") == "heun",
        lower_last=few,
        last_first_order=few or zero or bool(said.get("euler_at_final")),
    )


def _limit(said: Mapping[str, Any]) -> Callable[[Tensor], Tensor] | None:
    if said["thresholding"]:
        share, most = float(said["dynamic_thresholding_ratio"]), float(said["sample_max_value"])
        return lambda x0: dynamic(x0, share, most)
    if said["clip_sample"]:
        bound = float(said["clip_sample_range"])
        return lambda x0: x0.clamp(-bound, bound)
    return None
