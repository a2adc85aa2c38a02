"""From a run of LoRA, DoRA or textual inversion to an adapter's folder: what was learned, and nothing of the base."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo import config_files, weights
from zoo.card import ADAPTER, README, WEIGHTS, Adapter, Card, Training
from zoo.hub import Found
from zoo.saving import described, write_card
from zoo.train.finishing import RECIPE, published
from zoo.train.recipe import Recipe, Tune
from zoo.train.tuning import NAME

_PARTS = {"lora_A": "a", "lora_B": "b", "lora_magnitude_vector": "length"}
_LEARNED = re.compile(rf"(.+)\.({'|'.join(_PARTS)})\.{NAME}\.weight")


def strayed(tensors: Mapping[str, Mapping[str, Tensor]], base: Found, tune: Tune) -> list[str]:
    """Names of the base's tensors that should have stayed as they are and did not, by a checkpoint's groups.

    What an optimizer moves may change, and the buffers beside it; rows of labels are made anew for a head of others.
    """
    if tune.method == "full":
        return []
    state = tensors["model"]
    anew = tune.method == "head" and bool(tune.labels)
    moved = {
        key.split("/")[1].removeprefix("net.").rpartition(".")[0] for key in tensors["optimizer"]
    }
    if tune.method == "textual-inversion":  # of a table of words the rows below it alone
        moved = set()
    ours = {re.sub(r"\.base_layer\.(\w+)$", r".\1", key): value for key, value in state.items()}
    given = weights.read(base.folder / WEIGHTS)
    return [
        key
        for key, value in given.items()
        if key.rpartition(".")[0] not in moved
        and not (anew and key in ours and ours[key].shape != value.shape)
        and (key not in ours or not torch.equal(ours[key].to(value.dtype), value))
    ]


def finish_adapter(
    run: Path,
    name: str,
    version: str,
    state: Mapping[str, Tensor],
    base: Found,
    recipe: Recipe,
    told: Mapping[str, Any],
    fields: Mapping[str, Any],
) -> Path:
    """Write the adapter of a run's checkpoint `state` as RUN/NAME; the folder."""
    folder = run / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / README).unlink(missing_ok=True)  # a folder with a card is complete
    tune = recipe.tune
    if tune.word:
        known = weights.read(base.folder / WEIGHTS)
        learned = {
            key: value.contiguous()
            for key, value in state.items()
            if key.endswith(".rows") and key not in known
        }
    else:
        learned = {
            f"{match[1]}.{_PARTS[match[2]]}": value.contiguous()
            for key, value in state.items()
            if (match := _LEARNED.fullmatch(key))
        }
    weights.save(folder / ADAPTER, learned)
    (folder / RECIPE).write_text(published(recipe).text(), encoding="utf-8")
    config_files.copy(base.card.config, base.folder, folder, base.card.title)
    named = config_files.names(base.card.config)
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    words = (tune.word,) if tune.word else ()
    adapter = Adapter(base.card.title, base.card.weights, tune.method, tune.rank, tune.alpha, words)
    training = Training(
        data=(about["data"],),
        licences=tuple(about["licences"]),
        images=told["pictures"],
        seconds=round(told["seconds"], 1),
        machine=about["machine"],
        recipe=RECIPE,
    )
    card = replace(
        base.card,
        name=name,
        version=version,
        adapter=adapter,
        training=training,
        source=None,
        paper=None,
        thumbnail=None,
        files={file: described(folder / file) for file in (ADAPTER, RECIPE, *named)},
        body=_body(name, base.card, recipe, sum(each.numel() for each in learned.values()), about),
        **fields,
    )
    write_card(card, folder)
    return folder


def _body(name: str, base: Card, recipe: Recipe, count: int, about: Mapping[str, Any]) -> str:
    """The card's text for people, to be written on."""
    if recipe.tune.word:
        return f"""
# {name}

The word {recipe.tune.word} for {base.title}, {count:,} numbers (textual inversion), learned from {about["images"]:,}
pictures of {about["data"]} in {recipe.train.steps:,} steps of {recipe.data.batch}. `zoo.load` finds its base and
teaches it the word.

    zoo.load("{name}").condition(text="{recipe.tune.word}").sample(4)
"""
    return f"""
# {name}

A {recipe.tune.method.replace("lora", "LoRA").replace("dora", "DoRA")} of {base.title}: {count:,} numbers of rank
{recipe.tune.rank}, learned from {about["images"]:,} pictures of {about["data"]} in {recipe.train.steps:,} steps of
{recipe.data.batch}. `zoo.load` finds its base and puts it on; `zoo.adapt` stacks and scales adapters.

    zoo.load("{name}")
    zoo.adapt(zoo.load("{base.title}"), {{"{name}": 0.7}})
"""
