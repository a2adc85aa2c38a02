"""Everything a run needs before its first step: processes, net, pictures, and the run's own folder."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from zoo.errors import WeightsError, ZooError, listed
from zoo.train.objective import Batch
from zoo.train.recipe import Recipe, load_recipe
from zoo.train.table import RecipeError
from zoo.train.work import sow

if TYPE_CHECKING:
    from zoo.plugins import Family

log = logging.getLogger(__name__)

FREE_TABLES = (
    "optimizer",
    "schedule",
    "output",
)  # what may change when a run goes on: its state fits
FREE = ("steps", "clip", "checkpoint_every", "keep", "log_every", "threads")  # of [train], and
FREE += ("grid_every", "grid_count", "eval_every", "eval_batches")


def processes(recipe: Recipe) -> Any:
    """Accelerate's Accelerator for this process; one of several under `accelerate launch`."""
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
    except ImportError as error:
        raise ZooError("Training needs accelerate: pip install 'genzoo[train]'.") from error
    if recipe.train.threads:
        torch.set_num_threads(recipe.train.threads)
    accelerator = Accelerator(
        mixed_precision=recipe.train.precision,
        cpu=not torch.accelerator.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    share = recipe.train.accumulate * accelerator.num_processes
    if recipe.data.batch % share:
        raise RecipeError(
            f"[data] batch = {recipe.data.batch} does not divide among {accelerator.num_processes} "
            f"processes times {recipe.train.accumulate} accumulated parts; take a multiple of {share}."
        )
    return accelerator


def left_alone(accelerator: Any) -> AbstractContextManager[None]:
    """A block after which torch's global generators are as they were before it."""
    index = accelerator.device.index
    devices = [index or 0] if accelerator.device.type == "cuda" else []
    return torch.random.fork_rng(devices)


def settle(recipe: Recipe) -> Recipe:
    """The recipe with family, config and parts filled in from the card that `from` names."""
    if not recipe.model.from_:
        return recipe
    from zoo.hub import resolve

    card = resolve(recipe.model.from_).card
    if recipe.model.family not in ("", card.family):
        raise RecipeError(
            f"[model] family = {recipe.model.family!r}, but {recipe.model.from_!r} is of the family "
            f"{card.family!r}; leave `family` out."
        )
    model = dataclasses.replace(recipe.model, family=card.family, parts=dict(card.parts))
    return dataclasses.replace(recipe, model=model)


def build(recipe: Recipe, family: Family) -> tuple[nn.Module, dict[str, Any]]:
    """The net in training mode on the CPU, its start fixed by the seed, and what run.json says of it."""
    config = dict(recipe.model.config)
    if recipe.model.from_:
        from zoo.hub import resolve

        config = dict(resolve(recipe.model.from_).card.config)
    parts: dict[str, Any] = {}
    if recipe.model.parts:
        import zoo

        parts = {role: zoo.load(name) for role, name in recipe.model.parts.items()}
    sow(recipe.train.seed, "net")
    net = family.call("build", config=config, parts=parts)
    about = {"family": family.name, "config": config, "parts": dict(recipe.model.parts)}
    about["parameters"] = sum(p.numel() for p in net.parameters())
    if recipe.model.from_:
        take(net, recipe.model.from_, strict=True)
    if recipe.model.init:
        about["not_in_init"] = take(net, recipe.model.init, strict=False)
        log.info("Not in %s: %s", recipe.model.init, listed(about["not_in_init"]))
    return net.train(), about


def take(net: nn.Module, name: str, strict: bool) -> list[str]:
    """Copy the weights of the card `name` into `net`; returns the net's names that got none.

    Strict: every name and shape must match. Otherwise those that match are copied. Raises
    WeightsError if it is strict and they do not, or if nothing matches.
    """
    from zoo import weights
    from zoo.hub import resolve

    found = resolve(name)
    file = found.card.files["model.safetensors"]
    given = weights.read(found.folder / "model.safetensors", file.sha256)
    wanted = net.state_dict()
    fits = {k: v for k, v in given.items() if k in wanted and v.shape == wanted[k].shape}
    rest = [key for key in wanted if key not in fits]
    if not fits or (strict and (rest or len(fits) < len(given))):
        raise WeightsError(
            f"The weights of {name!r} ({len(given)} tensors) fit {len(fits)} of the {len(wanted)} of "
            f"this net. Not filled: {listed(rest)}. Use `init` to start from those that fit."
        )
    with torch.no_grad():
        for key, value in fits.items():
            wanted[key].copy_(value)
    return rest


def pictures(recipe: Recipe, data: Any) -> tuple[Any, Any]:
    """The training and the held-out set; `data` overrides what the recipe names."""
    if data is not None:
        return data if isinstance(data, tuple) else (data, None)
    if not recipe.data.name:
        raise RecipeError(
            "[data] needs a `name`: a built set (`zoo data list`) or a folder of pictures."
        )
    from zoo.data import open_set

    training = open_set(recipe.data.name, recipe.data.split, recipe.data.size)
    return training, open_set(recipe.data.name, recipe.data.held_out, recipe.data.size)


def stream(
    recipe: Recipe, data: Any, accelerator: Any, step: int, flip: bool = False
) -> Iterator[Batch]:
    """This process's share of every batch from `step` on: a function of (seed, step) and the share."""
    from zoo.data import batches

    return batches(
        data,
        recipe.data.batch,
        recipe.train.seed,
        step,
        accelerator.process_index,
        accelerator.num_processes,
        flip,
    )


def claim(run: Path, recipe: Recipe, step: int, resume: bool) -> None:
    """Write recipe.toml into the run's folder; refuse another recipe's run or an unasked-for resume.

    A recipe that was changed where it may be is kept as recipe.until-STEP.toml.
    """
    kept = run / "recipe.toml"
    if step and not resume:
        raise RecipeError(
            f"{run} already holds a run of {step} steps. Resume it, or take another folder."
        )
    if step and kept.is_file() and (old := load_recipe(kept)) != recipe:
        before, now = _fixed(old), _fixed(recipe)
        changed = sorted(
            key for key in before.keys() | now.keys() if before.get(key) != now.get(key)
        )
        if changed:
            both = "; ".join(f"{key} was {before.get(key)}, is {now.get(key)}" for key in changed)
            raise RecipeError(
                f"{run} was begun with another recipe: {both}. Take the old values, or another folder."
            )
        kept.rename(run / f"recipe.until-{step:08d}.toml")
    run.mkdir(parents=True, exist_ok=True)
    kept.write_text(recipe.text(), encoding="utf-8")


def _fixed(recipe: Recipe) -> dict[str, Any]:
    """Every setting that the state of a run depends on, by dotted name."""
    return {
        f"{table}.{key}": value
        for table, values in dataclasses.asdict(recipe).items()
        if table not in FREE_TABLES
        for key, value in values.items()
        if not (table == "train" and key in FREE)
    }


def describe(run: Path, about: dict[str, Any], data: Any, name: str) -> None:
    """Write run.json: what `finish` puts on the card and the recipe does not say."""
    about = {
        **about,
        "data": getattr(data, "name", name or type(data).__name__),
        "licences": sorted(getattr(data, "licences", ())),
        "images": len(data),
        "image": list(data[0]["image"].shape),
        "machine": machine(),
    }
    text = json.dumps(about, indent=1, default=str) + "\n"
    (run / "run.json").write_text(text, encoding="utf-8")


def machine() -> str:
    """The hardware in a few words."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()} x {int(os.environ.get('WORLD_SIZE', 1))}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} CPU cores ({platform.machine()}), {torch.get_num_threads()} threads"
