"""What a run starts from: the net, its weights, and the pictures."""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo import config_files
from zoo.errors import WeightsError, listed
from zoo.train import heads
from zoo.train.objective import Batch
from zoo.train.parallel import Layout
from zoo.train.recipe import Recipe
from zoo.train.table import RecipeError
from zoo.train.tuning import prepare
from zoo.train.work import sow

if TYPE_CHECKING:
    from zoo.plugins import Family

log = logging.getLogger(__name__)


def settle(recipe: Recipe) -> Recipe:
    """The recipe with family, config and parts filled in from the card that `from` names."""
    if not recipe.model.from_:
        return recipe
    from zoo.hub import resolve

    card = resolve(recipe.model.from_).card
    if recipe.model.family not in ("", card.family):
        raise RecipeError(
            f"[model] family = {recipe.model.family!r}, but {recipe.model.from_!r} is of the "
            f"family {card.family!r}; leave `family` out."
        )
    model = dataclasses.replace(recipe.model, family=card.family, parts=dict(card.parts))
    return dataclasses.replace(recipe, model=model)


def configured(recipe: Recipe, folder: Path | None) -> tuple[dict[str, Any], Path | None]:
    """The net's config, and the folder of the files that it names: the card's, or the recipe's."""
    if not recipe.model.from_:
        return dict(recipe.model.config), folder
    from zoo.hub import resolve

    found = resolve(recipe.model.from_)
    return dict(found.card.config), found.folder


def build(
    recipe: Recipe, family: Family, fresh: bool, folder: Path | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """The net, its start fixed by the seed, on the CPU, and what run.json says of it.

    Weights of a card are taken for a `fresh` run only: one that goes on has its own. `folder` is
    where the files lie that the config names.
    """
    config, folder = configured(recipe, folder)
    parts: dict[str, Any] = {}
    if recipe.model.parts:
        import zoo

        parts = {role: zoo.load(name) for role, name in recipe.model.parts.items()}
    head = None
    if recipe.tune.method == "head" and recipe.tune.labels:
        head = _head(recipe, family, config, parts, folder)
        config = heads.resized(config, len(recipe.tune.labels))
    sow(recipe.train.seed, "net")
    try:
        whole = config_files.filled(config, folder, "[model] config")
        net: nn.Module = family.call("build", config=whole, parts=parts)
    except (TypeError, KeyError, ValueError) as error:
        raise RecipeError(
            f"The family {family.name!r} cannot build from [model] config: {type(error).__name__}: "
            f"{error}. Its keys: {listed(config)}."
        ) from error
    config |= getattr(net, "recorded", {})  # what the card must say of the parts: their weights
    about: dict[str, Any] = {"family": family.name, "config": config}
    about["parts"] = dict(recipe.model.parts)
    if head is not None:
        about["labels"] = list(recipe.tune.labels)
    about["parameters"] = sum(p.numel() for p in net.parameters())
    if fresh and recipe.model.from_:
        take(net, recipe.model.from_, strict=True, head=head)
    if fresh and recipe.model.init:
        about["not_in_init"] = take(net, recipe.model.init, False, recipe.model.init_as)
        log.info("Not in %s: %s", recipe.model.init, listed(about["not_in_init"]))
    rows = () if head is None else tuple(head.rows)
    return prepare(net.train(), recipe.tune, recipe.train.seed, rows), about


def _head(
    recipe: Recipe,
    family: Family,
    config: Mapping[str, Any],
    parts: Mapping[str, Any],
    folder: Path | None,
) -> heads.Head:
    """What of the card's net is made anew for the recipe's labels."""
    from zoo.evaluate.classifier import names_of
    from zoo.hub import resolve

    card = resolve(recipe.model.from_).card
    if not config.get("classes"):
        raise RecipeError(
            f"[tune] labels = {listed(recipe.tune.labels)}, and {card.title} knows none: its config has no `classes`."
        )
    return heads.head(family, config, parts, folder, names_of(card), recipe.tune.labels)


def take(
    net: nn.Module,
    name: str,
    strict: bool,
    called: Mapping[str, str] | None = None,
    head: heads.Head | None = None,
) -> list[str]:
    """Copy the weights of the card `name` into `net`; returns the net's names that got none.

    Strict: every name and shape must match. Otherwise those that match are copied, of the names that begin as
    `called` says, if it does; `head` makes rows for new labels first. Raises WeightsError if it is strict and they
    do not, or if nothing matches, or two weights have come to one name.
    """
    from zoo import weights
    from zoo.hub import resolve

    found = resolve(name)
    file = found.card.files.get("model.safetensors")
    if file is None:
        raise WeightsError(
            f"{found.card.title} has no weights of its own to start from. Save it as a model first: "
            f"zoo.load({name!r}).save(FOLDER, name=NAME)."
        )
    given = weights.read(found.folder / "model.safetensors", file.sha256)
    if called:
        given = _called(given, called, name)
    if head is not None:
        given = head.fitted(given)
    wanted = net.state_dict()
    fits = {k: v for k, v in given.items() if k in wanted and v.shape == wanted[k].shape}
    rest = [key for key in wanted if key not in fits]
    if not fits or (strict and (rest or len(fits) < len(given))):
        raise WeightsError(
            f"The weights of {name!r} ({len(given)} tensors) fit {len(fits)} of the {len(wanted)} "
            f"of this net. Not filled: {listed(rest)}. Use `init` to start from those that fit."
        )
    with torch.no_grad():
        for key, value in fits.items():
            wanted[key].copy_(value)
    return rest


def _called(
    given: Mapping[str, Tensor], called: Mapping[str, str], where: str
) -> dict[str, Tensor]:
    """The tensors whose names begin with one of `called`, under the beginning that it has there."""
    made: dict[str, Tensor] = {}
    for key, value in given.items():
        start = max((each for each in called if key.startswith(each)), key=len, default=None)
        if start is None:
            continue
        ours = called[start] + key[len(start) :]
        if ours in made:
            raise WeightsError(f"[model] init_as gives two weights of {where!r} the name {ours!r}.")
        made[ours] = value
    return made


def pictures(recipe: Recipe, data: Any) -> tuple[Any, Any]:
    """The training and the held-out set; `data` overrides what the recipe names."""
    if data is not None:
        return data if isinstance(data, tuple) else (data, None)
    if not recipe.data.name:
        raise RecipeError(
            "[data] needs a `name`: a built set (`zoo data list`), a folder of pictures or a set "
            "of tokens."
        )
    from zoo.data import Binarised, open_set

    name, size, beside = recipe.data.name, recipe.data.size, recipe.data.beside
    training = open_set(name, recipe.data.split, size, beside)
    if hasattr(training, "tokenizer"):
        _same_tokenizer(recipe, training.tokenizer)
    looked_at = recipe.train.eval_every or recipe.train.grid_every
    if not looked_at:
        return training, None
    held_out = open_set(name, recipe.data.held_out, size, beside)
    return training, Binarised(held_out, recipe.train.seed) if recipe.data.binarise else held_out


def _same_tokenizer(recipe: Recipe, made_by: Mapping[str, Any]) -> None:
    """Raise RecipeError unless a part of the model is the tokenizer that made the set's tokens."""
    from zoo.hub import resolve

    parts = {role: resolve(part).card for role, part in recipe.model.parts.items()}
    if made_by["weights"] in {"+".join(card.weights) for card in parts.values()}:
        return
    has = ", ".join(
        f"{role} = {card.title!r} (weights {'+'.join(card.weights)[:12]})"
        for role, card in parts.items()
    )
    raise RecipeError(
        f"[data] {recipe.data.name} holds tokens of {made_by['model']!r} (weights "
        f"{made_by['weights'][:12]}), and the model's parts are: {has or 'none'}. Encode the set "
        f'with the model\'s tokenizer, or set [model.parts] tokenizer = "{made_by["model"]}".'
    )


def ahead(source: Iterator[Batch], count: int = 2) -> Generator[Batch, None, None]:
    """The same batches, `count` of them read in a thread while a step is taken."""
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, source) for _ in range(count))
        while True:
            ready = waiting.popleft()
            waiting.append(pool.submit(next, source))
            yield ready.result()


def stream(
    recipe: Recipe,
    data: Any,
    where: Layout,
    step: int,
    size: int,
    flip: bool = False,
    binarise: bool = False,
) -> Iterator[Batch]:
    """This process's share of batches of `size` from `step` on, fixed by (seed, step)."""
    from zoo.data import batches

    found: Iterator[Batch] = batches(
        data,
        size,
        recipe.train.seed,
        step,
        where.rank,
        where.world,
        flip,
        binarise,
    )
    return found
