"""Checks of `sample` and `condition`: shapes, seeds, and refusing what is not known."""
# ruff: noqa: D103  (their names are their sentences)

from __future__ import annotations

import torch

from zoo.errors import PluginError, RequestError
from zoo.testing.subject import Subject, answers, same, want


def samples_have_the_shape_of_the_card(subject: Subject) -> None:
    samples = subject.giving("sample").sample(3, seed=0)
    want(
        tuple(samples.shape) == (3, *subject.image),
        f"sample gave {tuple(samples.shape)} for 3 of {subject.image}",
    )


def the_same_seed_gives_the_same_samples(subject: Subject) -> None:
    model = subject.giving("sample")
    same(model.sample(2, seed=5), model.sample(2, seed=5), 0, "two samples of one seed")


def another_seed_gives_other_samples(subject: Subject) -> None:
    model = subject.giving("sample")
    want(
        not torch.equal(model.sample(2, seed=5), model.sample(2, seed=6)),
        "seeds 5 and 6 gave the same samples",
    )


def images_of_one_batch_differ(subject: Subject) -> None:
    first, second = subject.giving("sample").sample(2, seed=5).tensor
    want(not torch.equal(first, second), "the two images of a batch are the same")


def a_sample_depends_on_its_seed_and_place_alone(subject: Subject) -> None:
    model = subject.giving("sample")
    same(
        model.sample(3, seed=5)[:1],
        model.sample(1, seed=5),
        subject.tolerance,
        "image 0 of 3 and image 0 of 1",
    )


def a_condition_is_understood_and_holds_no_state(subject: Subject) -> None:
    model = subject.giving("condition")
    if not subject.request:
        raise PluginError(
            "the family gives `condition`: put a `request` that it understands into the Subject"
        )
    plain, asked = answers(model, subject), model.condition(**subject.request)
    first = answers(asked, subject)
    for hook, answer in answers(asked, subject).items():
        same(answer, first[hook], 0, f"{hook} on one condition twice")
    for hook, answer in answers(model, subject).items():
        same(
            answer,
            plain[hook],
            0,
            f"{hook} of the unconditioned model after another was conditioned",
        )


def an_unknown_condition_is_refused(subject: Subject) -> None:
    try:
        subject.giving("condition").condition(no_such_condition=1)
    except (RequestError, ValueError, TypeError):
        return
    raise PluginError(
        "condition took 'no_such_condition' without a word; zoo.options.read refuses unknown names"
    )


def an_unknown_sampling_option_is_refused(subject: Subject) -> None:
    try:
        subject.giving("sample").sample(1, seed=0, no_such_option=1)
    except (RequestError, ValueError, TypeError):
        return
    raise PluginError(
        "sample took 'no_such_option' without a word; zoo.options.read refuses unknown names"
    )


CHECKS = (
    samples_have_the_shape_of_the_card,
    the_same_seed_gives_the_same_samples,
    another_seed_gives_other_samples,
    images_of_one_batch_differ,
    a_sample_depends_on_its_seed_and_place_alone,
    a_condition_is_understood_and_holds_no_state,
    an_unknown_condition_is_refused,
    an_unknown_sampling_option_is_refused,
)
