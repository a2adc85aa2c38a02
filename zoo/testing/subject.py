"""What the checks of `zoo.testing` are tried on, and the few steps that they share."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from zoo import config_files, plugins, rng, weights
from zoo.card import WEIGHTS, Card, Density
from zoo.errors import PluginError
from zoo.images import Images
from zoo.model import Model, build
from zoo.plugins import Family


@dataclass(frozen=True, eq=False)
class Subject:
    """A family and the least that is needed to try it.

    The fields from `image` on are those of a card.
    """

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
    recipe: Mapping[str, Any] = field(default_factory=dict)  # for `objectives`
    lossless: bool = False  # decode(encode(x)) is x
    tolerance: float = (
        1e-4  # between two ways to compute one thing, relative to the size of the numbers
    )

    @classmethod
    def of(cls, model: Model, **fields: Any) -> Subject:
        """A loaded model as a subject, with the hooks that its card promises; `fields` go before the card's.

        `objectives` are tried if a `recipe` is given.
        """
        card = model.card
        tried = {"build", *card.hooks, *(["objectives"] if "recipe" in fields else [])}
        given = {hook: taken for hook, taken in model.hooks.hooks.items() if hook in tried}
        family = replace(model.hooks, hooks=given)
        own: dict[str, Any] = {
            "latent": card.latent, "latent_kind": card.latent_kind, "codes": card.codes,
            "multiple": card.multiple, "log_prob": card.log_prob, "hooks": card.hooks,
            "options": card.sampling, "parts": model.parts,
            "request": {"label": 0} if card.config.get("classes") else {},
        }  # fmt: skip
        config = config_files.filled(card.config, model.folder, card.title)
        made = cls(family, config, card.image, **{**own, **fields})
        vars(made)["model"] = replace(
            model, hooks=family
        )  # in place of the cached one, drawn at random
        return made

    @functools.cached_property
    def plugin(self) -> Family:
        """The family itself."""
        return plugins.family(self.family) if isinstance(self.family, str) else self.family

    @functools.cached_property
    def card(self) -> Card:
        """A card of these fields."""
        return Card(
            name="subject", family=self.plugin.name, version="1.0.0", license="unknown",
            config=self.config, image=self.image, latent=self.latent, codes=self.codes,
            latent_kind=self.latent_kind, multiple=self.multiple, log_prob=self.log_prob,
            sampling=self.options,
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
        """Three images of noise; black and white for a model of binary pixels."""
        noise = rng.uniform(rng.streams(rng.generator(7), 3), *self.image) * 1.8 - 0.9
        binary = self.log_prob is not None and self.log_prob.over == "binary pixels"
        return Images(torch.where(noise > 0, 1.0, -1.0) if binary else noise)

    def giving(self, hook: str) -> Model:
        """The model, if the family gives `hook`."""
        if hook not in self.plugin.hooks:
            raise SkipTest(f"{self.plugin.name} does not give {hook}")
        return self.model


def answers(model: Model, subject: Subject) -> dict[str, Tensor]:
    """What every hook the family gives answers, on fixed inputs and seeds."""
    given, made = subject.plugin.hooks, {}
    if "encode" in given:
        made["encode"] = model.encode(subject.images, seed=11)
    if "decode" in given:
        made["decode"] = model.decode(latents(subject)).tensor
    if "sample" in given:
        made["sample"] = model.sample(2, seed=11).tensor
    if "log_prob" in given:
        made["log_prob"] = model.log_prob(subject.images, seed=11).nats
    return made


def latents(subject: Subject) -> Tensor:
    """Three latents of the card's shape, drawn."""
    each = rng.streams(rng.generator(9), 3)
    if subject.latent_kind == "tokens":
        return (rng.uniform(each, *(subject.latent or ())) * (subject.codes or 0)).long()
    return rng.normal(each, *(subject.latent or ()))


@contextmanager
def reloaded(subject: Subject) -> Iterator[Model]:
    """The subject's model saved, built on the meta device, and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = subject.model.save(folder)
        net = build(subject.plugin, subject.card, subject.parts)
        if subject.model.net.state_dict():
            weights.load_into(net, path / WEIGHTS)
        yield Model(subject.card, net.eval(), subject.plugin, subject.parts)


def same(one: Tensor, other: Tensor, tolerance: float, what: str) -> None:
    """Raise PluginError unless two tensors are the same, within `tolerance` of their size."""
    one, other = one.as_subclass(Tensor), other.as_subclass(Tensor)
    if one.shape != other.shape:
        raise PluginError(f"{what}: shapes {tuple(one.shape)} and {tuple(other.shape)}")
    if torch.equal(one, other):  # infinities too: a picture that does not begin as asked
        return
    distance = float((one.double() - other.double()).abs().max()) if one.numel() else 0.0
    size = max(1.0, float(other.double().abs().max())) if other.numel() else 1.0
    want(
        distance <= tolerance * size,
        f"{what} differ by {distance:.3g}, more than {tolerance * size:.3g}",
    )


def want(true: bool, message: str) -> None:
    """Raise PluginError with `message` unless `true`."""
    if not true:
        raise PluginError(message)
