"""The contract of `zoo.hookspecs` as checks, for own and strangers' plugins. A whole test file is:

    import pytest
    from zoo.testing import CHECKS, Subject

    SUBJECT = Subject("pixelgauss", {"classes": 3, "shape": [3, 8, 8]}, image=(3, 8, 8), ...)

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(SUBJECT)

Use a config so small that a sample takes a moment. A check of a hook that the family leaves out is skipped; declare
`hooks` in the subject, and a hook that went missing fails instead.
"""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from zoo import plugins, rng, weights
from zoo.card import HOOKS, Card, Density
from zoo.errors import CardError, PluginError, RequestError
from zoo.images import Images
from zoo.model import Model, build
from zoo.plugins import Family


@dataclass(frozen=True, eq=False)
class Subject:
    """A family and the least that is needed to try it. The fields from `image` on are those of a card."""

    family: str | Family  # a name, or what `zoo.plugins.register` gave
    config: Mapping[str, Any]
    image: tuple[int, int, int]
    latent: tuple[int, ...] | None = None
    latent_kind: str = "none"
    codes: int | None = None
    multiple: int | None = None
    log_prob: Density | None = None
    hooks: tuple[str, ...] = ()  # what the family must answer
    parts: Mapping[str, Model] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)  # a condition it understands
    options: Mapping[str, Any] = field(default_factory=dict)  # sampling options, made for speed
    lossless: bool = False  # decode(encode(x)) is x
    tolerance: float = 1e-4  # between two ways to compute one thing, relative to the size of the numbers

    @functools.cached_property
    def plugin(self) -> Family:
        return plugins.family(self.family) if isinstance(self.family, str) else self.family

    @functools.cached_property
    def card(self) -> Card:
        return Card(
            name="subject", family=self.plugin.name, version="1.0.0", license="unknown", config=self.config,
            image=self.image, latent=self.latent, latent_kind=self.latent_kind, codes=self.codes,
            multiple=self.multiple, log_prob=self.log_prob, sampling=self.options,
        )  # fmt: skip

    @functools.cached_property
    def model(self) -> Model:
        """With random weights, the same in every run."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = build(self.plugin, self.card, self.parts, meta=False)
        return Model(self.card, net.eval(), self.plugin, self.parts)

    @functools.cached_property
    def images(self) -> Images:
        """Three images of noise."""
        return Images(rng.uniform(rng.streams(rng.generator(7), 3), *self.image) * 1.8 - 0.9)

    def giving(self, hook: str) -> Model:
        """The model, if the family gives `hook`."""
        if hook not in self.plugin.hooks:
            raise SkipTest(f"{self.plugin.name} does not give {hook}")
        return self.model


Check = Callable[[Subject], None]
_CHECKS: list[Check] = []


def _check(check: Check) -> Check:
    _CHECKS.append(check)
    return check


@_check
def the_family_answers_every_hook_it_declares(subject: Subject) -> None:
    missing = [hook for hook in subject.hooks if hook not in subject.plugin.hooks]
    _want(not missing, f"declared and not implemented: {missing}")
    undeclared = [hook for hook in HOOKS if hook in subject.plugin.hooks and hook not in subject.hooks]
    _want(not subject.hooks or not undeclared, f"implemented and not declared: {undeclared}")


@_check
def build_refuses_a_key_it_does_not_know(subject: Subject) -> None:
    odd = Subject(subject.family, {**subject.config, "no_such_key": 1}, subject.image, parts=subject.parts)
    try:
        build(subject.plugin, odd.card, subject.parts)
    except CardError:
        return
    raise PluginError("build took the config key 'no_such_key' without a word: a misspelt key would pass too")


@_check
def build_leaves_its_config_alone(subject: Subject) -> None:
    config = copy.deepcopy(dict(subject.card.config))
    subject.plugin.call("build", config=config, parts=subject.parts)
    _want(config == subject.card.config, "build changed the config it was given")


@_check
def a_net_built_on_meta_and_loaded_gives_the_same_answers(subject: Subject) -> None:
    with _reloaded(subject) as again:
        for hook, answer in _answers(subject.model, subject).items():
            _same(answer, _answers(again, subject)[hook], 0, f"{hook} of the reloaded net")


@_check
def samples_have_the_shape_of_the_card(subject: Subject) -> None:
    samples = subject.giving("sample").sample(3, seed=0)
    _want(tuple(samples.shape) == (3, *subject.image), f"sample gave {tuple(samples.shape)} for 3 of {subject.image}")


@_check
def the_same_seed_gives_the_same_samples(subject: Subject) -> None:
    model = subject.giving("sample")
    _same(model.sample(2, seed=5), model.sample(2, seed=5), 0, "two samples of one seed")


@_check
def another_seed_gives_other_samples(subject: Subject) -> None:
    model = subject.giving("sample")
    _want(not torch.equal(model.sample(2, seed=5), model.sample(2, seed=6)), "seeds 5 and 6 gave the same samples")


@_check
def images_of_one_batch_differ(subject: Subject) -> None:
    first, second = subject.giving("sample").sample(2, seed=5).tensor
    _want(not torch.equal(first, second), "the two images of a batch are the same")


@_check
def a_sample_depends_on_its_seed_and_place_alone(subject: Subject) -> None:
    model = subject.giving("sample")
    _same(model.sample(3, seed=5)[:1], model.sample(1, seed=5), subject.tolerance, "image 0 of 3 and image 0 of 1")


@_check
def hooks_leave_the_global_generator_alone(subject: Subject) -> None:
    before = torch.get_rng_state()
    _answers(subject.model, subject)
    _want(torch.equal(before, torch.get_rng_state()), "a hook drew from the global generator; draw from `generator`")


@_check
def hooks_leave_the_net_alone(subject: Subject) -> None:
    before = {name: value.clone() for name, value in subject.model.net.state_dict().items()}
    _answers(subject.model, subject)
    after = subject.model.net.state_dict()
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    _want(not changed and not subject.model.net.training, f"a hook changed {changed or 'the mode of the net'}")


@_check
def hooks_leave_the_images_alone(subject: Subject) -> None:
    for hook in ("encode", "log_prob"):
        if hook in subject.plugin.hooks:
            images = subject.images.tensor.clone()
            subject.plugin.call(hook, net=subject.model.net, images=images, cond=None, generator=rng.generator(0))
            _same(images, subject.images, 0, f"the images after {hook}")


@_check
def latents_have_the_shape_and_type_of_the_card(subject: Subject) -> None:
    latents = subject.giving("encode").encode(subject.images)
    _want(tuple(latents.shape) == (3, *(subject.latent or ())), f"encode gave {tuple(latents.shape)}: {subject.latent}")
    if subject.latent_kind == "tokens":
        low, high = int(latents.min()), int(latents.max())
        _want(latents.dtype == torch.int64, f"tokens are int64, encode gave {latents.dtype}")
        _want(0 <= low and high < (subject.codes or 0), f"tokens {low} .. {high} are not within 0 .. {subject.codes} - 1")


@_check
def encoding_without_a_generator_is_deterministic(subject: Subject) -> None:
    model = subject.giving("encode")
    _same(model.encode(subject.images), model.encode(subject.images), 0, "two encodings of the same images")


@_check
def one_image_does_not_change_the_latents_of_another(subject: Subject) -> None:
    model = subject.giving("encode")
    _same(model.encode(subject.images)[:1], model.encode(subject.images[:1]), subject.tolerance, "latents of image 0")


@_check
def decoded_images_have_the_shape_of_the_card(subject: Subject) -> None:
    back = subject.giving("decode").decode(_latents(subject))
    _want(tuple(back.shape) == (3, *subject.image), f"decode gave {tuple(back.shape)} for 3 of {subject.image}")


@_check
def one_latent_does_not_change_the_image_of_another(subject: Subject) -> None:
    model, latents = subject.giving("decode"), _latents(subject)
    _same(model.decode(latents)[:1], model.decode(latents[:1]), subject.tolerance, "image 0")


@_check
def decode_inverts_encode_where_the_family_is_lossless(subject: Subject) -> None:
    if not subject.lossless:
        raise SkipTest("not lossless")
    model = subject.giving("encode")
    _same(model.decode(model.encode(subject.images)), subject.images, subject.tolerance, "decode(encode(images))")


@_check
def log_prob_is_one_number_an_image(subject: Subject) -> None:
    nats = subject.giving("log_prob").log_prob(subject.images, seed=0).nats
    _want(tuple(nats.shape) == (3,), f"log_prob gave {tuple(nats.shape)} for 3 images: sum over everything but the batch")
    _want(len(nats.unique()) > 1, f"three different images have the same log_prob {float(nats[0]):.6g}")


@_check
def one_image_does_not_change_the_log_prob_of_another(subject: Subject) -> None:
    model, images = subject.giving("log_prob"), subject.images.tensor.clone()
    together = model.log_prob(images, seed=3).nats
    images[1:] = images[1:].flip(-1) / 2
    _same(together[:1], model.log_prob(images, seed=3).nats[:1], subject.tolerance, "log_prob of image 0")
    _same(together[:1], model.log_prob(images[:1], seed=3).nats, subject.tolerance, "log_prob of image 0 alone")


@_check
def a_condition_is_understood_and_holds_no_state(subject: Subject) -> None:
    model = subject.giving("condition")
    if not subject.request:
        raise PluginError("the family gives `condition`: put a `request` that it understands into the Subject")
    plain, asked = _answers(model, subject), model.condition(**subject.request)
    first = _answers(asked, subject)
    for hook, answer in _answers(asked, subject).items():
        _same(answer, first[hook], 0, f"{hook} on one condition twice")
    for hook, answer in _answers(model, subject).items():
        _same(answer, plain[hook], 0, f"{hook} of the unconditioned model after another was conditioned")


@_check
def an_unknown_condition_is_refused(subject: Subject) -> None:
    try:
        subject.giving("condition").condition(no_such_condition=1)
    except (RequestError, ValueError, TypeError):
        return
    raise PluginError("condition took 'no_such_condition' without a word; zoo.options.read refuses unknown names")


@_check
def an_unknown_sampling_option_is_refused(subject: Subject) -> None:
    try:
        subject.giving("sample").sample(1, seed=0, no_such_option=1)
    except (RequestError, ValueError, TypeError):
        return
    raise PluginError("sample took 'no_such_option' without a word; zoo.options.read refuses unknown names")


@_check
def objectives_reach_every_parameter(subject: Subject) -> None:
    if "objectives" not in subject.plugin.hooks:
        raise SkipTest(f"{subject.plugin.name} does not give objectives")
    net = subject.model.net
    trained = {id(each) for goal in subject.plugin.call("objectives", net=net, recipe={}) for each in goal.parameters}
    left = [name for name, each in net.named_parameters() if each.requires_grad and id(each) not in trained]
    _want(not left, f"no objective trains {left}; set requires_grad to False where that is meant")


CHECKS: tuple[Check, ...] = tuple(_CHECKS)


def card_keeps_its_word(card: Card) -> None:
    """Compare what a card declares with what its family implements. Raises CardError.

    Declared are `hooks`; a card with latents can decode, one with `log_prob` has log_prob, and the other way round.
    """
    family = plugins.family(card.family)
    undone = [hook for hook in card.hooks if hook not in family.hooks]
    if undone or not card.hooks:
        raise CardError(f"{card.title}: hooks {list(card.hooks)}; the family {card.family!r} gives {list(family.hooks)}.")
    if (card.log_prob is not None) != ("log_prob" in card.hooks):
        raise CardError(f"{card.title}: zoo.log_prob and log_prob in zoo.hooks must be given together.")
    if (card.latent_kind != "none") != ("decode" in card.hooks):
        raise CardError(f"{card.title}: zoo.latent and decode in zoo.hooks must be given together.")


def _answers(model: Model, subject: Subject) -> dict[str, Tensor]:
    """What every hook the family gives answers, on fixed inputs and seeds."""
    given, made = subject.plugin.hooks, {}
    if "encode" in given:
        made["encode"] = model.encode(subject.images, seed=11)
    if "decode" in given:
        made["decode"] = model.decode(_latents(subject)).tensor
    if "sample" in given:
        made["sample"] = model.sample(2, seed=11).tensor
    if "log_prob" in given:
        made["log_prob"] = model.log_prob(subject.images, seed=11).nats
    return made


def _latents(subject: Subject) -> Tensor:
    """Three latents of the card's shape, drawn."""
    each = rng.streams(rng.generator(9), 3)
    if subject.latent_kind == "tokens":
        return (rng.uniform(each, *(subject.latent or ())) * (subject.codes or 0)).long()
    return rng.normal(each, *(subject.latent or ()))


@contextmanager
def _reloaded(subject: Subject) -> Iterator[Model]:
    """The subject's model saved, built on the meta device, and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = subject.model.save(folder)
        net = build(subject.plugin, subject.card, subject.parts)
        if subject.model.net.state_dict():
            weights.load_into(net, path / "model.safetensors")
        yield Model(subject.card, net.eval(), subject.plugin, subject.parts)


def _same(one: Tensor, other: Tensor, tolerance: float, what: str) -> None:
    one, other = one.as_subclass(Tensor), other.as_subclass(Tensor)
    if one.shape != other.shape:
        raise PluginError(f"{what}: shapes {tuple(one.shape)} and {tuple(other.shape)}")
    distance = float((one.double() - other.double()).abs().max()) if one.numel() else 0.0
    size = max(1.0, float(other.double().abs().max())) if other.numel() else 1.0
    _want(distance <= tolerance * size, f"{what} differ by {distance:.3g}, more than {tolerance * size:.3g}")


def _want(true: bool, message: str) -> None:
    if not true:
        raise PluginError(message)
