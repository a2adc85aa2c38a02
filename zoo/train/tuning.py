"""Fine-tuning: which part of a net moves, and what is put on it.

LoRA (Hu et al., 2021, arXiv:2106.09685) leaves a layer's W (m, n) as it is and learns a change of low rank,

    W' = W + (alpha / r) B A,     A (r, n) drawn, B (m, r) = 0 at the start;

DoRA (Liu et al., 2024, arXiv:2402.09353) learns the lengths of W's rows besides, W' = l V / |V| with V the above. Both
are put on by peft. "head" and "decoder" train modules as they are, "head" what has a row a label besides, of which it
makes rows for new labels (`zoo.train.heads`); "textual-inversion" one row more of the table of
words (`zoo.nn.text.learned`). What does not move is also kept in evaluation mode,
so that a running mean or a codebook stays too.

A net says by a method what is what; without it, LoRA is put on every nn.Linear (every nn.Conv2d where there is none),
and the others are refused:

    def tunable(self) -> Mapping[str, Sequence[str]]:     # method -> patterns of modules' names
        return {"lora": ["blocks.*.qkv"], "decoder": ["decoder*"], "textual-inversion": ["words.embed"]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from zoo.errors import Unsupported, listed
from zoo.nn.text.learned import learn, taken
from zoo.train.objective import Objective
from zoo.train.recipe import Tune
from zoo.train.table import RecipeError
from zoo.train.work import sow

NAME = "tune"  # of the adapter, among those that peft would allow on a layer
ADAPTED = (nn.Linear, nn.Conv2d)


def prepare(net: nn.Module, tune: Tune, seed: int, rows: Sequence[str] = ()) -> nn.Module:
    """Freeze all of `net` but what is to move, and put an adapter on where that is asked for.

    `rows` are the names of its tensors with a row a label, which move with "head".

    Raises Unsupported where the net does not say what that would be, RecipeError for modules that do
    not exist or that no adapter fits.
    """
    if tune.method == "full":
        return net
    if tune.method == "textual-inversion":
        taken(net)
    names = [] if rows and not (tune.modules or _told(net).get("head")) else chosen(net, tune)
    net.requires_grad_(False)
    net.eval()
    net.training = True  # the net itself is being trained: it may leave labels out and the like
    if tune.method == "textual-inversion":
        learn(net, names[0], tune.word, like=tune.like)
        return net
    if tune.method in ("head", "decoder"):
        for name in names:
            net.get_submodule(name).requires_grad_(True).train()
        for name, each in net.named_parameters():
            if name in rows:
                each.requires_grad_(True)
        return net
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise RecipeError(
            "[tune] lora and dora need peft: pip install 'genzoo[finetune]'."
        ) from error
    sow(seed, NAME)
    settings: dict[str, Any] = {"r": tune.rank, "lora_alpha": tune.alpha, "target_modules": names}
    config = LoraConfig(**settings, use_dora=tune.method == "dora")
    inject_adapter_in_model(config, net, NAME)
    return net


def chosen(net: nn.Module, tune: Tune) -> list[str]:
    """Names of the modules that move, or that get an adapter. Raises as `prepare` does."""
    told = _told(net)
    adapting = tune.method in ("lora", "dora")
    patterns = list(tune.modules) or list(told.get("lora" if adapting else tune.method, ()))
    every = {name: module for name, module in net.named_modules() if name}
    if not patterns and adapting:
        fitting = {name: module for name, module in every.items() if _fits(module)}
        linear = [name for name, module in fitting.items() if isinstance(module, nn.Linear)]
        patterns = linear or list(fitting)
    if not patterns:
        raise Unsupported(
            f"This net does not say what its {tune.method} is. Name modules (--modules), of which there are "
            f"{listed(name for name, _ in net.named_children())}, or train by another method."
        )
    lost = [each for each in patterns if not any(fnmatchcase(name, each) for name in every)]
    if lost:
        raise RecipeError(
            f"[tune] modules: nothing in the net is named like {listed(lost)}. There are {listed(every)}."
        )
    named = [name for name in every if any(fnmatchcase(name, each) for each in patterns)]
    if not adapting:
        return named
    odd = {name: every[name] for name in named if not _fits(every[name])}
    if odd and tune.modules and not any(_fits(every[name]) for name in named):
        kinds = {type(module).__name__ for module in odd.values()}
        raise RecipeError(
            f"[tune] modules: {listed(odd)} are {listed(kinds)}; adapters fit nn.Linear and nn.Conv2d."
        )
    return [name for name in named if name not in odd]


def moving(net: nn.Module, objectives: Sequence[Objective], tune: Tune) -> list[Objective]:
    """The objectives, over what moves alone; the parameters of their own modules always do."""
    if tune.method == "full":
        return list(objectives)
    frozen = {id(each) for each in net.parameters() if not each.requires_grad}
    return [
        replace(each, parameters=[p for p in each.parameters if id(p) not in frozen])
        for each in objectives
    ]


def _told(net: nn.Module) -> Mapping[str, Sequence[str]]:
    """What the net says is what, by method."""
    return net.tunable() if callable(getattr(net, "tunable", None)) else {}  # type: ignore[operator]


def _fits(module: nn.Module) -> bool:
    return isinstance(module, ADAPTED) and getattr(module, "groups", 1) == 1
