"""The contract of `zoo.hookspecs` as checks, for own and strangers' plugins.

A whole test file is:

    import pytest
    from zoo.testing import CHECKS, Subject

    SUBJECT = Subject("pixelgauss", {"classes": 3, "shape": [3, 8, 8]}, image=(3, 8, 8), ...)

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(SUBJECT)

Use a config so small that a sample takes a moment. A check of a hook that the family leaves out is
skipped; declare `hooks` in the subject, and a hook that went missing fails instead.
"""

# ruff: noqa: D103  (the checks' names are their sentences)

from __future__ import annotations

import copy
from collections.abc import Callable
from unittest import SkipTest

import torch

from zoo import plugins, rng
from zoo.card import HOOKS, Card
from zoo.errors import CardError, PluginError, RequestError
from zoo.model import build
from zoo.testing.subject import Subject as Subject
from zoo.testing.subject import answers, latents, reloaded, same, want

Check = Callable[[Subject], None]
_CHECKS: list[Check] = []


def _check(check: Check) -> Check:
    _CHECKS.append(check)
    return check


@_check
def the_family_answers_every_hook_it_declares(subject: Subject) -> None:
    missing = [hook for hook in subject.hooks if hook not in subject.plugin.hooks]
    want(not missing, f"declared and not implemented: {missing}")
    undeclared = [
        hook for hook in HOOKS if hook in subject.plugin.hooks and hook not in subject.hooks
    ]
    want(not subject.hooks or not undeclared, f"implemented and not declared: {undeclared}")


@_check
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


@_check
def build_leaves_its_config_alone(subject: Subject) -> None:
    config = copy.deepcopy(dict(subject.card.config))
    subject.plugin.call("build", config=config, parts=subject.parts)
    want(config == subject.card.config, "build changed the config it was given")


@_check
def a_net_built_on_meta_and_loaded_gives_the_sameanswers(subject: Subject) -> None:
    with reloaded(subject) as again:
        for hook, answer in answers(subject.model, subject).items():
            same(answer, answers(again, subject)[hook], 0, f"{hook} of the reloaded net")


@_check
def samples_have_the_shape_of_the_card(subject: Subject) -> None:
    samples = subject.giving("sample").sample(3, seed=0)
    want(
        tuple(samples.shape) == (3, *subject.image),
        f"sample gave {tuple(samples.shape)} for 3 of {subject.image}",
    )


@_check
def the_same_seed_gives_the_same_samples(subject: Subject) -> None:
    model = subject.giving("sample")
    same(model.sample(2, seed=5), model.sample(2, seed=5), 0, "two samples of one seed")


@_check
def another_seed_gives_other_samples(subject: Subject) -> None:
    model = subject.giving("sample")
    want(
        not torch.equal(model.sample(2, seed=5), model.sample(2, seed=6)),
        "seeds 5 and 6 gave the same samples",
    )


@_check
def images_of_one_batch_differ(subject: Subject) -> None:
    first, second = subject.giving("sample").sample(2, seed=5).tensor
    want(not torch.equal(first, second), "the two images of a batch are the same")


@_check
def a_sample_depends_on_its_seed_and_place_alone(subject: Subject) -> None:
    model = subject.giving("sample")
    same(
        model.sample(3, seed=5)[:1],
        model.sample(1, seed=5),
        subject.tolerance,
        "image 0 of 3 and image 0 of 1",
    )


@_check
def hooks_leave_the_global_generator_alone(subject: Subject) -> None:
    before = torch.get_rng_state()
    answers(subject.model, subject)
    want(
        torch.equal(before, torch.get_rng_state()),
        "a hook drew from the global generator; draw from `generator`",
    )


@_check
def hooks_leave_the_net_alone(subject: Subject) -> None:
    before = {name: value.clone() for name, value in subject.model.net.state_dict().items()}
    answers(subject.model, subject)
    after = subject.model.net.state_dict()
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    want(
        not changed and not subject.model.net.training,
        f"a hook changed {changed or 'the mode of the net'}",
    )


@_check
def hooks_leave_the_images_alone(subject: Subject) -> None:
    for hook in ("encode", "log_prob"):
        if hook in subject.plugin.hooks:
            images = subject.images.tensor.clone()
            subject.plugin.call(
                hook, net=subject.model.net, images=images, cond=None, generator=rng.generator(0)
            )
            same(images, subject.images, 0, f"the images after {hook}")


@_check
def latents_have_the_shape_and_type_of_the_card(subject: Subject) -> None:
    codes = subject.giving("encode").encode(subject.images)
    want(
        tuple(codes.shape) == (3, *(subject.latent or ())),
        f"encode gave {tuple(codes.shape)}: {subject.latent}",
    )
    if subject.latent_kind == "tokens":
        low, high = int(codes.min()), int(codes.max())
        want(codes.dtype == torch.int64, f"tokens are int64, encode gave {codes.dtype}")
        want(
            low >= 0 and high < (subject.codes or 0),
            f"tokens {low} .. {high} are not within 0 .. {subject.codes} - 1",
        )


@_check
def encoding_without_a_generator_is_deterministic(subject: Subject) -> None:
    model = subject.giving("encode")
    same(
        model.encode(subject.images),
        model.encode(subject.images),
        0,
        "two encodings of the same images",
    )


@_check
def one_image_does_not_change_the_latents_of_another(subject: Subject) -> None:
    model = subject.giving("encode")
    same(
        model.encode(subject.images)[:1],
        model.encode(subject.images[:1]),
        subject.tolerance,
        "latents of image 0",
    )


@_check
def decoded_images_have_the_shape_of_the_card(subject: Subject) -> None:
    back = subject.giving("decode").decode(latents(subject))
    want(
        tuple(back.shape) == (3, *subject.image),
        f"decode gave {tuple(back.shape)} for 3 of {subject.image}",
    )


@_check
def one_latent_does_not_change_the_image_of_another(subject: Subject) -> None:
    model, drawn = subject.giving("decode"), latents(subject)
    same(model.decode(drawn)[:1], model.decode(drawn[:1]), subject.tolerance, "image 0")


@_check
def decode_inverts_encode_where_the_family_is_lossless(subject: Subject) -> None:
    if not subject.lossless:
        raise SkipTest("not lossless")
    model = subject.giving("encode")
    same(
        model.decode(model.encode(subject.images)),
        subject.images,
        subject.tolerance,
        "decode(encode(images))",
    )


@_check
def log_prob_is_one_number_an_image(subject: Subject) -> None:
    nats = subject.giving("log_prob").log_prob(subject.images, seed=0).nats
    want(
        tuple(nats.shape) == (3,),
        f"log_prob gave {tuple(nats.shape)} for 3 images: sum over everything but the batch",
    )
    want(
        len({*nats.tolist()}) > 1,
        f"three different images have the same log_prob {float(nats[0]):.6g}",
    )


@_check
def one_image_does_not_change_the_log_prob_of_another(subject: Subject) -> None:
    model, images = subject.giving("log_prob"), subject.images.tensor.clone()
    together = model.log_prob(images, seed=3).nats
    images[1:] = images[1:].flip(-1) / 2
    same(
        together[:1],
        model.log_prob(images, seed=3).nats[:1],
        subject.tolerance,
        "log_prob of image 0",
    )
    same(
        together[:1],
        model.log_prob(images[:1], seed=3).nats,
        subject.tolerance,
        "log_prob of image 0 alone",
    )


@_check
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


@_check
def an_unknown_condition_is_refused(subject: Subject) -> None:
    try:
        subject.giving("condition").condition(no_such_condition=1)
    except (RequestError, ValueError, TypeError):
        return
    raise PluginError(
        "condition took 'no_such_condition' without a word; zoo.options.read refuses unknown names"
    )


@_check
def an_unknown_sampling_option_is_refused(subject: Subject) -> None:
    try:
        subject.giving("sample").sample(1, seed=0, no_such_option=1)
    except (RequestError, ValueError, TypeError):
        return
    raise PluginError(
        "sample took 'no_such_option' without a word; zoo.options.read refuses unknown names"
    )


@_check
def objectives_reach_every_parameter(subject: Subject) -> None:
    if "objectives" not in subject.plugin.hooks:
        raise SkipTest(f"{subject.plugin.name} does not give objectives")
    net = subject.model.net
    trained = {
        id(each)
        for goal in subject.plugin.call("objectives", net=net, recipe={})
        for each in goal.parameters
    }
    left = [
        name
        for name, each in net.named_parameters()
        if each.requires_grad and id(each) not in trained
    ]
    want(not left, f"no objective trains {left}; set requires_grad to False where that is meant")


CHECKS: tuple[Check, ...] = tuple(_CHECKS)


def card_keeps_its_word(card: Card) -> None:
    """Compare what a card declares with what its family implements. Raises CardError.

    Declared are `hooks`; a card with latents can decode, one with `log_prob` has log_prob, and the
    other way round.
    """
    family = plugins.family(card.family)
    undone = [hook for hook in card.hooks if hook not in family.hooks]
    if undone or not card.hooks:
        raise CardError(
            f"{card.title}: hooks {list(card.hooks)}; the family {card.family!r} gives "
            f"{list(family.hooks)}."
        )
    if (card.log_prob is not None) != ("log_prob" in card.hooks):
        raise CardError(
            f"{card.title}: zoo.log_prob and log_prob in zoo.hooks must be given together."
        )
    if (card.latent_kind != "none") != ("decode" in card.hooks):
        raise CardError(f"{card.title}: zoo.latent and decode in zoo.hooks must be given together.")
