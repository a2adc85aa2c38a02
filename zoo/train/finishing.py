"""From a run to a model's folder: weights, recipe, picture, and a card that tells of them."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo import config_files, weights
from zoo.card import HOOKS, README, WEIGHTS, Card, Density, Training
from zoo.errors import WeightsError
from zoo.saving import described, write_card
from zoo.train import checkpoint
from zoo.train.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from zoo.plugins import Family

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
RECIPE, SHEET = "recipe.toml", "sheet.png"


def finish(
    run_folder: str | Path,
    name: str,
    version: str = "1.0.0",
    *,
    out: str | Path | None = None,
    family: Family | None = None,
    **changes: Any,
) -> Path:
    """Write the last checkpoint of a run as a model's folder.

    The folder is `run_folder`/NAME unless `out` is given. The weights are the averaged ones if the
    recipe averages, in the recipe's [output] dtype. `changes` are fields of the card (license,
    codes, multiple, tags, paper ...), over what is found out here: `codes` is the net's attribute
    of that name, `log_prob` its attribute `density` (kind, over), the latents those of one blank
    picture. The licence is "other" until somebody
    chooses one.

    Raises WeightsError if the run has no checkpoint or the weights do not fit the dtype, CardError
    if the card would not be valid.
    """
    from zoo.hub import resolve

    run = Path(run_folder)
    kept = checkpoint.every(run)
    if not kept:
        raise WeightsError(f"{run} has no checkpoint yet. Train it first.")
    recipe = load_recipe(run / RECIPE)
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    tensors, state = checkpoint.read(kept[-1], ("model", "ema"))
    dtype = DTYPES[recipe.output.dtype]
    stored = {
        key: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for key, tensor in {**tensors["model"], **tensors.get("ema", {})}.items()
    }
    if family is None:
        from zoo.plugins import family as installed

        family = installed(about["family"])
    folder = Path(out) if out is not None else run / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / README).unlink(
        missing_ok=True
    )  # a folder with a card is complete: the card comes last
    weights.save(folder / WEIGHTS, stored)
    (folder / RECIPE).write_text(published(recipe).text(), encoding="utf-8")
    grids = sorted((run / "grids").glob("*.png"))
    if grids:
        shutil.copyfile(grids[-1], folder / SHEET)
    config_files.copy(about["config"], run, folder, f"{run}")
    named = config_files.names(about["config"])
    files = [WEIGHTS, RECIPE, *named, *([SHEET] if grids else [])]
    training = Training(
        data=(about["data"],),
        licences=tuple(about["licences"]),
        images=state["pictures"],
        seconds=round(state["seconds"], 1),
        machine=about["machine"],
        recipe=RECIPE,
    )
    fields: dict[str, Any] = {
        "name": name,
        "family": family.name,
        "version": version,
        "config": about["config"],
        "parts": {role: resolve(part).card.title for role, part in about["parts"].items()},
        "image": tuple(about["image"]),
        "hooks": tuple(hook for hook in HOOKS if hook in family.hooks),
        "files": {file: described(folder / file) for file in files},
        "training": training,
        "license": "other",
        "labels": tuple(about.get("labels", ())),
        "body": _body(name, about, state, recipe.train.steps),
        **_found(family, about, stored, run),
        **changes,
    }
    write_card(Card(**fields), folder)
    return folder


def published(recipe: Recipe) -> Recipe:
    """The recipe without paths of the machine and names of files, which are nobody's business."""

    def last(name: str, end: str = "") -> str:
        here = os.sep in name and Path(name).exists()
        return f"{Path(name).name}{end}" if here else name

    model = recipe.model
    parts = {role: last(name) for role, name in model.parts.items()}
    return replace(
        recipe,
        model=replace(model, from_=last(model.from_), init=last(model.init), parts=parts),
        data=replace(recipe.data, name=last(recipe.data.name, "/")),
        tune=replace(recipe.tune, without=()),
    )


@torch.no_grad()
def _found(
    family: Family, about: dict[str, Any], stored: dict[str, Tensor], run: Path
) -> dict[str, Any]:
    """The card's fields that the net itself tells: its latents, by what it makes of one blank picture, and density."""
    wanted = {"encode", "log_prob"} & set(family.hooks)
    if not wanted:
        return {}
    parts: dict[str, Any] = {}
    if about["parts"]:
        import zoo

        parts = {role: zoo.load(name) for role, name in about["parts"].items()}
    config = config_files.filled(about["config"], run, f"{run}")
    net = family.call("build", config=config, parts=parts)
    found: dict[str, Any] = {}
    if "log_prob" in wanted and (density := getattr(net, "density", None)) is not None:
        found["log_prob"] = Density(*density)
    if "encode" not in wanted:
        return found
    net.load_state_dict(
        {key: t.float() if t.is_floating_point() else t for key, t in stored.items()}
    )
    blank = torch.zeros(1, *about["image"])
    latents = family.call("encode", net=net.eval(), images=blank, cond=None, generator=None)
    found |= {"latent": tuple(latents.shape[1:]), "latent_kind": "continuous"}
    if not latents.is_floating_point():
        found |= {"latent_kind": "tokens", "codes": getattr(net, "codes", None)}
    return found


def _body(name: str, about: dict[str, Any], state: dict[str, Any], steps: int) -> str:
    """The card's text for people, to be written on."""
    done = f"{state['step']:,}" + (f" of {steps:,}" if state["step"] < steps else "")
    licences = ", ".join(about["licences"]) or "not recorded"
    labels = ", ".join(f"{n} {each}" for n, each in enumerate(about.get("labels", ())))
    known = f"\nIts labels: {labels}.\n" if labels else ""
    return f"""
# {name}

A model of the family `{about["family"]}` with {about["parameters"]:,} parameters.
{known}
## Training

{done} steps, {state["pictures"]:,} pictures of {about["data"]} ({about["images"]:,} different ones;
licences: {licences}), {state["seconds"] / 60:,.1f} minutes on {about["machine"]}.
`{RECIPE}` beside this card repeats it: `zoo train {RECIPE} --out RUN`.
"""
