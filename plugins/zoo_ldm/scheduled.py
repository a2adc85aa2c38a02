"""Sampling as a scheduler of diffusers says: its levels, its sampler, its first noise, its ends.

`zoo_diffusion.schedulers` reads the configurations. One that moves x / alpha begins with noise of its own size; PNDM's
beginning is made anew where a run begins later, as from a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zoo.errors import ForeignError, RequestError
from zoo.nn.diffusion import Path, Process, samplers, spacing
from zoo.nn.diffusion.choosing import USUAL_STEPS, Chosen, Method
from zoo.nn.diffusion.samplers.pndm import runge_groups
from zoo.nn.diffusion.starting import Start
from zoo_diffusion import schedulers

OURS = "name a sampler, sampler='ddim'"


def chosen(process: Process, found: Chosen, start: Start) -> Chosen:
    """The run of the option `scheduler`, in place of a sampler's.

    Raises RequestError for a configuration that is not supported, or that is of another process.
    """
    how, config = found.by_name, found.by_name.scheduler
    if not isinstance(config, Mapping):
        raise RequestError(
            f"scheduler is what a scheduler_config.json holds, a mapping with _class_name; got {config!r:.60}."
        )
    try:
        plan = schedulers.plan(config, how.steps or min(USUAL_STEPS, process.steps), how.eta)
        _same(process, config)
    except ForeignError as error:
        raise RequestError(f"scheduler: {error}. Or {OURS}.") from error
    name = plan.config["_class_name"]
    if plan.limit is not None:
        raise RequestError(
            f"The scheduler {name} limits what it foresees (clip_sample or thresholding), and latents have no range: "
            f"set both false, or {OURS}."
        )
    later = (start.image is not None and start.strength < 1) or how.resample > 1
    if later and plan.sampler is samplers.pndm and runge_groups(plan.path):
        raise RequestError(
            f"The scheduler {name} begins with three steps of four evaluations each (skip_prk_steps is false), and "
            f"this run begins later: set skip_prk_steps, or {OURS}."
        )
    method = Method(plan.sampler, {})
    if plan.sampler is samplers.pndm:
        method = replace(method, begun=lambda part: _begun(part, plan.path))
    return replace(
        found,
        method=method,
        options=plan.options,
        path=plan.path,
        start=plan.start if plan.exploding else None,
    )


def _begun(part: Path, whole: Path) -> Path:
    """A part of PNDM's path with a beginning of its own; the whole has one."""
    if part.steps[0] is whole.steps[0]:
        return part
    once = tuple(step for step in part if step.at != step.to)
    return spacing.pndm_path(replace(part, steps=once))


def _same(process: Process, config: Mapping[str, Any]) -> None:
    """Raises ForeignError where the scheduler is of another process than the model."""
    other = Process(**schedulers.process(config))
    for what in ("continuous", "steps", "prediction"):
        own, said = getattr(process, what), getattr(other, what)
        if own != said:
            raise ForeignError(f"its process has {what} = {said}, the model's {own}")
    if not process.continuous and float((process.kept - other.kept).abs().max()) > 1e-4:
        raise ForeignError("its betas are not those that the model was trained with")
