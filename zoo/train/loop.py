"""Training, any family: `train` is the whole loop, the rest of this package is what it calls.

A step n draws the batch that (seed, n) names, gives each objective its turn (backward, clip,
AdamW), then averages the weights. Nothing that shapes a step lives outside the checkpoint and the
recipe, so a run that was killed and resumed ends in the same bits as one that was not (where the
device's kernels are deterministic: CPUs' are, CUDA's are with torch.use_deterministic_algorithms).
"""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import config_files
from zoo.train import checkpoint
from zoo.train.folder import claim, describe
from zoo.train.parallel import layout
from zoo.train.processes import left_alone, processes
from zoo.train.recipe import Recipe, folder_of, load_recipe
from zoo.train.report import Report
from zoo.train.run import Run
from zoo.train.start import ahead, build, configured, pictures, settle, stream
from zoo.train.stop import Stop
from zoo.train.work import divided

if TYPE_CHECKING:
    from zoo.plugins import Family

log = logging.getLogger(__name__)


def train(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    resume: bool = True,
    steps: int | None = None,
    max_minutes: float | None = None,
    family: Family | None = None,
    data: Any = None,
) -> Path:
    """Train by a recipe in the folder `out`, going on from its last checkpoint; returns the folder.

    Args:
        recipe: A Recipe, or the path of a recipe.toml.
        out: Where checkpoints, metrics.jsonl, grids and run.json go.
        resume: Whether a folder that already holds a run may be gone on with.
        steps: Instead of the recipe's; schedules follow it.
        max_minutes: End after so long, with a checkpoint; schedules still follow the steps.
        family: The hooks to use instead of the installed family of the recipe's name.
        data: A set (or a pair, training and held-out) instead of what the recipe names: `len` and
            `[i] -> {"image": uint8 (C, H, W), "label"?, "caption"?}`.

    Raises:
        RecipeError: The recipe contradicts itself, the folder, or the number of processes.
        TrainingError: A loss or gradient stopped being finite.
    """
    run = Path(out)
    folder = run if isinstance(recipe, Recipe) else folder_of(recipe)
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    recipe = settle(recipe.with_steps(steps))
    accelerator = processes(recipe)
    where = layout(recipe, accelerator)
    kept = checkpoint.every(run)
    step = checkpoint.steps_of(kept[-1]) if kept else 0
    if family is None:
        from zoo.plugins import family as installed

        family = installed(recipe.model.family)
    training, held_out = pictures(recipe, data)
    if accelerator.is_main_process:
        claim(run, recipe, step, resume)
        config, source = configured(recipe, folder)
        config_files.copy(config, source, run, "[model] config")
    with left_alone(accelerator), Stop(accelerator, max_minutes) as stop:
        net, about = build(recipe, family, step == 0, folder)
        state = Run(recipe, where, family, net)
        if kept:
            state.restore(kept[-1])
        if accelerator.is_main_process and step == 0:
            describe(run, about, training, recipe.data.name)
        wanted = recipe.data
        batches = ahead(
            stream(recipe, training, where, step, wanted.batch, wanted.flip, wanted.binarise)
        )
        with closing(batches), Report(run, accelerator, step, recipe.train.steps) as report:
            _loop(state, run, step, batches, held_out, report, stop)
    return run


def _loop(
    state: Run, run: Path, step: int, batches: Any, held_out: Any, report: Report, stop: Stop
) -> None:
    """Steps `step` to the end of the recipe, or to a reason to stop."""
    plan, total = state.recipe.train, state.recipe.train.steps
    saved, reason = step if step else -1, ""
    if step == 0 and held_out is not None:  # also so that what cannot work fails now
        if plan.eval_every:
            state.evaluate(held_out, 0, report)
        if plan.grid_every:
            state.preview(held_out, 0, report)
    while step < total and not reason:
        shared = [state.place(each) for each in divided(next(batches), plan.accumulate)]
        rates = {}
        for task in state.tasks:
            if step >= task.objective.start:
                state.turn(task, shared, step, report)
                rates[f"{task.objective.name}/lr"] = state.lr(task, step)
        if state.ema is not None:
            state.ema.update(step)
        report.stepped(state.recipe.data.batch)
        reason = stop.reason(step)
        step += 1  # from here on: steps taken
        if _due(step, plan.log_every, total):
            report.log(step, state.elapsed(), rates)
        with report.aside():
            if held_out is not None and _due(step, plan.eval_every, total):
                state.evaluate(held_out, step, report)
            if held_out is not None and _due(step, plan.grid_every, total):
                state.preview(held_out, step, report)
            if _due(step, plan.checkpoint_every, total):
                report.check()
                state.save(run, step)
                saved = step
    if saved != step:
        report.check()
        state.save(run, step)
    if reason:
        log.warning("Stopped by %s after %d of %d steps; resume to go on.", reason, step, total)


def _due(step: int, every: int, total: int) -> bool:
    return every > 0 and (step % every == 0 or step == total)
