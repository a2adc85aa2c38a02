"""Checks of a family's net: how it is built and loaded, and that hooks leave it alone."""
# ruff: noqa: D103  (their names are their sentences)

from __future__ import annotations

import copy
from unittest import SkipTest

import torch

from zoo import rng
from zoo.card import HOOKS
from zoo.errors import CardError, PluginError
from zoo.model import build
from zoo.testing.subject import Subject, answers, reloaded, same, want


def the_family_answers_every_hook_it_declares(subject: Subject) -> None:
    missing = [hook for hook in subject.hooks if hook not in subject.plugin.hooks]
    want(not missing, f"declared and not implemented: {missing}")
    undeclared = [
        hook for hook in HOOKS if hook in subject.plugin.hooks and hook not in subject.hooks
    ]
    want(not subject.hooks or not undeclared, f"implemented and not declared: {undeclared}")


def build_refuses_a_key_it_does_not_know(subject: Subject) -> None:
    odd = Subject(
        subject.family, {**subject.config, "no_such_key": 1}, subject.image, parts=subject.parts
    )
    try:
        build(subject.plugin, odd.card, subject.parts)
    except CardError:
        return
    raise PluginError(
        "build took the config key 'no_such_key' without a word: a misspelt key would pass too"
    )


def build_leaves_its_config_alone(subject: Subject) -> None:
    config = copy.deepcopy(dict(subject.card.config))
    subject.plugin.call("build", config=config, parts=subject.parts)
    want(config == subject.card.config, "build changed the config it was given")


def a_net_built_on_meta_and_loaded_gives_the_same_answers(subject: Subject) -> None:
    with reloaded(subject) as again:
        for hook, answer in answers(subject.model, subject).items():
            same(answer, answers(again, subject)[hook], 0, f"{hook} of the reloaded net")


def objectives_reach_every_parameter(subject: Subject) -> None:
    if "objectives" not in subject.plugin.hooks:
        raise SkipTest(f"{subject.plugin.name} does not give objectives")
    net = subject.model.net
    trained = {
        id(each)
        for goal in subject.plugin.call("objectives", net=net, recipe=subject.recipe)
        for each in goal.parameters
    }
    left = [
        name
        for name, each in net.named_parameters()
        if each.requires_grad and id(each) not in trained
    ]
    want(not left, f"no objective trains {left}; set requires_grad to False where that is meant")


def hooks_leave_the_global_generator_alone(subject: Subject) -> None:
    before = torch.get_rng_state()
    answers(subject.model, subject)
    want(
        torch.equal(before, torch.get_rng_state()),
        "a hook drew from the global generator; draw from `generator`",
    )


def hooks_leave_the_net_alone(subject: Subject) -> None:
    before = {name: value.clone() for name, value in subject.model.net.state_dict().items()}
    answers(subject.model, subject)
    after = subject.model.net.state_dict()
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    want(
        not changed and not subject.model.net.training,
        f"a hook changed {changed or 'the mode of the net'}",
    )


def hooks_leave_the_images_alone(subject: Subject) -> None:
    for hook in ("encode", "log_prob"):
        if hook in subject.plugin.hooks:
            images = subject.images.tensor.clone()
            subject.plugin.call(
                hook, net=subject.model.net, images=images, cond=None, generator=rng.generator(0)
            )
            same(images, subject.images, 0, f"the images after {hook}")


CHECKS = (
    the_family_answers_every_hook_it_declares,
    build_refuses_a_key_it_does_not_know,
    build_leaves_its_config_alone,
    a_net_built_on_meta_and_loaded_gives_the_same_answers,
    objectives_reach_every_parameter,
    hooks_leave_the_global_generator_alone,
    hooks_leave_the_net_alone,
    hooks_leave_the_images_alone,
)
