"""Fine-tuning a model on a few pictures with the one trainer: an adapter, or a model, as a folder with a card.

Some of the pictures are held out; the loss on these before and after stands in the card, and a sheet beside it. A run
that was stopped or killed goes on when the same is asked for again, to the same weights.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import hub, weights
from zoo.card import WEIGHTS, Metric
from zoo.errors import PluginError, RequestError, Unsupported, ZooError, listed
from zoo.hub.address import is_address, is_repository
from zoo.saving import described, write_card
from zoo.train import checkpoint
from zoo.train.estimating import Picked, fitted
from zoo.train.few import (
    Half,
    base_of,
    kept_by_heart,
    labels_given,
    parted,
    reads_text,
    unreadable,
)
from zoo.train.finishing import RECIPE, SHEET, finish
from zoo.train.recipe import (
    Data,
    Model,
    Optimizer,
    Output,
    Recipe,
    Schedule,
    Train,
    Tune,
    load_recipe,
)
from zoo.train.telling import measured

if TYPE_CHECKING:
    from zoo.hub import Found

log = logging.getLogger(__name__)
ADAPTING = ("lora", "dora", "textual-inversion")
METHODS = ("full", *ADAPTING, "head", "decoder", "controlnet")
STORED = {"torch.float32": "fp32", "torch.bfloat16": "bf16", "torch.float16": "fp16"}
RATES = {"lora": 2e-3, "dora": 2e-3, "textual-inversion": 5e-3, "controlnet": 1.5e-3}


def plan(
    name: str,
    data: str | os.PathLike[str],
    method: str = "lora",
    *,
    rank: int = 8,
    alpha: float | None = None,
    modules: Sequence[str] = (),
    hint: str = "edges",
    word: str = "",
    like: str = "",
    caption: str = "",
    prior: int = 0,
    prior_text: str = "",
    steps: int = 200,
    batch: int = 4,
    lr: float | None = None,
    ema: float = 0.0,
    precision: str = "no",
    seed: int = 0,
    objective: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe of a fine-tuning: the base's own objective, unless another is given.

    name, data           the model to begin with; a folder of pictures, or a built set
    method               of METHODS; `rank`, `alpha` and `modules` of an adapter
    hint                 of a ControlNet: an annotator of `zoo.annotate`
    word, like           of textual inversion: "<cat>", and the known text it begins as
    caption              of all pictures, {} in it standing for their own
    prior, prior_text    so many pictures drawn by the base, told that text, are half of what is trained on
    ema                  decay of averaged weights; precision "no", "bf16" or "fp16"

    Raises RequestError for an unknown method, UnknownModel, RecipeError, Unsupported.
    """
    if method not in METHODS:
        raise RequestError(f"There is no method {method!r}. Methods: {listed(METHODS)}.")
    found = hub.resolve(name)
    card = found.card
    if WEIGHTS not in card.files:
        raise Unsupported(f"{card.title} has no {WEIGHTS} to start from.")
    own = found.folder / RECIPE
    table = dict(objective) if objective is not None else {}
    if objective is None and RECIPE in card.files and own.is_file():
        table = dict(load_recipe(own).objective)
    model, tuned = Model(family=card.family, from_=_reference(name, found)), method
    if method == "controlnet":
        model, tuned = _control(found, model.from_, hint), "full"
        table = {key: value for key, value in table.items() if key not in ("mirror", "move")}
        table |= {"annotator": hint} if hint == "hed" else {}
        table |= {"null": 0.5} if "null" in table else {}  # the hint alone has to say what is there
    if method == "textual-inversion" and "text_weight" in table:
        table["text_weight"] = 0.0  # a new word is told, not predicted
    path = Path(data).expanduser()
    dtype: Any = _dtype(found.folder / WEIGHTS)
    kind: Any = tuned
    kept: Any = precision
    tune = Tune(
        kind, rank, float(alpha or rank), tuple(modules), word, like, caption, (), prior, prior_text
    )
    return Recipe(
        model=model,
        data=Data(
            name=str(path.resolve()) if path.is_dir() else str(data), size=card.image[-1], batch=batch,
            binarise=card.log_prob is not None and card.log_prob.over == "binary pixels",
        ),
        objective=table,
        optimizer=Optimizer(lr=lr or RATES.get(method, 1e-4), weight_decay=0.0 if word else 0.01),
        schedule=Schedule(warmup=min(10, steps // 4)),
        train=Train(
            steps=steps, seed=seed, clip=1.0, ema=ema, precision=kept, log_every=1, eval_every=steps,
            eval_batches=4, checkpoint_every=max(1, steps // 4),
        ),
        tune=tune,
        output=Output(dtype),
    )  # fmt: skip


def settled(recipe: Recipe) -> Recipe:
    """The recipe for the pictures that there are: their labels, no captions that cannot be read, no larger batches.

    Raises DataError.
    """
    from zoo.loading import load

    base = base_of(recipe)
    if reads_text(base.card):
        without = unreadable(recipe, load(base.folder))
        recipe = replace(recipe, tune=replace(recipe.tune, without=without))
    recipe = replace(recipe, tune=replace(recipe.tune, labels=labels_given(recipe)))
    rest, held = parted(recipe)
    batch = min(recipe.data.batch, len(rest))
    looks = min(64, max(1, len(held) // min(batch, len(held))))
    return replace(
        recipe,
        data=replace(recipe.data, batch=batch),
        train=replace(recipe.train, eval_batches=looks),
    )


def within(recipe: Recipe, limit: int) -> Picked:
    """What of the batch, the precision and the optimizer stays below `limit` bytes (`zoo.train.estimating`)."""
    from zoo.loading import load
    from zoo.train.parallel import blocks_of

    return fitted(recipe, limit, bool(blocks_of(load(base_of(recipe).folder).net)))


def finetune(
    name: str,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    method: str = "lora",
    *,
    called: str | None = None,
    version: str = "1.0.0",
    memory: int | None = None,
    sheet: bool = True,
    **settings: Any,
) -> Path:
    """Fine-tune the model `name` on pictures; the folder OUT/NAME of what came out.

    `method` is one of METHODS; `called` the new name (base-method, unless given), `memory` the most bytes to be used,
    `sheet` whether a sheet is drawn, `settings` those of `plan`. LoRA, DoRA and textual inversion give an adapter,
    which `zoo.load` puts on its base; the others give a model.
    Raises as `zoo.train.train` does, and DataError, Unsupported, PluginError, RequestError.
    """
    from zoo.train import train

    recipe, run = settled(plan(name, data, method, **settings)), Path(out)
    if (run / RECIPE).is_file():
        recipe = _as_begun(recipe, load_recipe(run / RECIPE))
    elif memory is not None:
        picked = within(recipe, memory)
        log.info("%s", picked.text())
        recipe = picked.recipe
    train(recipe, run, data=_pictures(recipe, run))
    return ended(run, called or f"{hub.show(name).name}-{method}", version, sheet=sheet)


def ended(run: Path, called: str, version: str = "1.0.0", *, sheet: bool = True) -> Path:
    """Write what a fine-tuning made as a card's folder in the run's. Raises PluginError if what was frozen moved."""
    from zoo.train.adapting import finish_adapter, strayed

    recipe = load_recipe(run / RECIPE)
    base = base_of(recipe)
    tensors, state = checkpoint.read(checkpoint.every(run)[-1], ("model", "optimizer", "ema"))
    lost = strayed(tensors, base, recipe.tune)
    if lost:
        raise PluginError(
            f"Training {recipe.tune.method!r} of {base.card.title} changed what was frozen: {listed(lost)}. The "
            f"family {base.card.family!r} changes it outside of gradients; it is to leave modules in evaluation "
            "mode alone."
        )
    fields: dict[str, Any] = {
        "license": base.card.license,
        "base_model": (base.card.title,),
        "metrics": measured(run, recipe),
    }
    if recipe.tune.method in ADAPTING:
        learned = {**tensors["model"], **tensors.get("ema", {})}
        folder = finish_adapter(run, called, version, learned, base, recipe, state, fields)
    elif recipe.model.from_:
        same = (
            "latent", "latent_kind", "codes", "multiple", "hooks", "log_prob", "sampling", "pipeline_tag", "tags",
        )  # fmt: skip
        alike = {key: getattr(base.card, key) for key in same}
        if recipe.tune.method != "head" or not recipe.tune.labels:
            alike["labels"] = base.card.labels
        folder = finish(run, called, version, **alike, **fields)
    else:
        parts = {"base": base.card.title}
        folder = finish(run, called, version, parts=parts, tags=("controlnet",), **fields)
    if sheet:
        _show(folder, base, recipe)
    return folder


def _show(folder: Path, base: Found, recipe: Recipe) -> None:
    """Put a sheet into the folder, and into its card, a tokenizer's PSNR too; warn where none can be drawn."""
    from zoo.loading import load
    from zoo.train.showing import again, sheet

    made = load(folder)
    kind = ""
    if made.family == "controlnet":
        kind = str(recipe.objective.get("annotator") or recipe.model.config["kind"])
    held, models, metrics = parted(recipe)[1], [load(base.folder), made], made.card.metrics
    try:
        path = sheet(held, models, kind, folder / SHEET, like=recipe.tune.like)
    except ZooError as error:
        warnings.warn(f"{folder} has no sheet: {error}", stacklevel=3)
        return
    if metrics and "sample" not in made.card.hooks:
        told = metrics[0]
        for when, model in zip(("before", "after"), models, strict=True):
            found, count = again(held, model)
            name = f"held-out PSNR {when}"
            metrics += (Metric(name, round(found, 3), told.data, told.command, "dB", count=count),)
    files = {**made.card.files, SHEET: described(path)}
    write_card(replace(made.card, files=files, metrics=metrics), folder)


def _pictures(recipe: Recipe, run: Path) -> tuple[Any, Any]:
    """The pictures to train on, half of them drawn by the base if that was asked for, and those held out."""
    from zoo.loading import load

    rest, held = parted(recipe)
    if not recipe.tune.prior:
        return rest, held
    return Half(rest, kept_by_heart(recipe, load(base_of(recipe).folder), run / "prior")), held


def _control(found: Found, name: str, hint: str) -> Model:
    """A ControlNet for the base: its hint's convolutions lead from the pictures to the U-Net's first map."""
    from zoo.loading import load

    net: Any = load(found.folder).net
    descent = getattr(getattr(net, "network", None), "descent", None)
    if descent is None:
        raise Unsupported(
            f"A ControlNet copies the encoder half of a U-Net, and {found.card.title} ({found.card.family}) has none."
        )
    factor = found.card.image[-1] * descent.patch // net.diffused[-1]
    widths = [16, 32, 48, 64, 96, 128][: factor.bit_length()]
    kind = {"hed": "edges"}.get(hint, hint)
    config = {"kind": kind, "hint": 3 if kind == "semantic" else 1, "hint_widths": widths}
    return Model(family="controlnet", config=config, parts={"base": name})


def _as_begun(recipe: Recipe, begun: Recipe) -> Recipe:
    """The recipe with what was picked for its memory when the run was begun."""
    chosen = {
        key: getattr(begun.train, key)
        for key in ("accumulate", "gradient_checkpointing", "precision")
    }
    return replace(
        recipe,
        train=replace(recipe.train, **chosen),
        optimizer=replace(recipe.optimizer, bits=begun.optimizer.bits),
    )


def _reference(name: str, found: Found) -> str:
    """The base for a recipe: name@version, a hub's repository as it was given, or the folder."""
    if is_address(name) or is_repository(name):
        return name
    return str(Path(name).expanduser().resolve()) if hub.is_path(name) else found.card.title


def _dtype(file: Path) -> str:
    """How most of a file's numbers are stored, as a recipe's [output] says it."""
    read = weights.read(file)
    kinds = [str(each.dtype) for each in read.values() if each.is_floating_point()]
    return STORED.get(max(set(kinds), key=kinds.count), "fp32") if kinds else "fp32"
