"""A model: a card, a network and its family's hooks; the same methods whatever the family.

`load` reads as it runs: find the card, ask for the family, load the parts, build on the meta
device, lay the weights in. What a user gives is checked here, once, before a hook sees it; what a
hook answers is checked too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from zoo import hub, rng, weights
from zoo.card import WEIGHTS, Card
from zoo.checking import answered, images_for, latents_for
from zoo.density import LogProb
from zoo.errors import (
    CardError,
    PluginError,
    RequestError,
    Unsupported,
    WeightsError,
    listed,
)
from zoo.images import Images
from zoo.plugins import Family, family
from zoo.progress import progress

Device = str | torch.device | None
Name = str | os.PathLike[str]


def load(
    name: Name, version: str | None = None, device: Device = None, dtype: torch.dtype | None = None
) -> Model:
    """Load a pretrained model, ready to use.

    name     "vqgan-f16", "vqgan-f16@1.0.0", "hf:org/repo@revision", a model's folder, or the path
             of a stranger's
             checkpoint that an installed family recognises
    device   where the weights go; torch's default device (the CPU, unless set) if not given
    dtype    of floating-point weights; without it half precision becomes float32 and wider types
             stay

    Raises UnknownModel, UnknownVersion, UnknownFamily, CardError, WeightsError, HubError,
    ForeignError, PluginError.
    """
    if hub.is_foreign(name):
        from zoo.foreign_models import load_foreign

        return load_foreign(Path(name), device, dtype)
    found = hub.resolve(name, version)
    parts = {
        role: _part(part, found.folder, device, dtype) for role, part in found.card.parts.items()
    }
    return assemble(found.card, found.folder, parts, device, dtype)


def assemble(
    card: Card,
    folder: Path,
    parts: Mapping[str, Model],
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> Model:
    """A model of a card whose files lie in `folder`, made with `parts`. Raises as `load` does."""
    device = torch.device(device) if device is not None else torch.get_default_device()
    hooks = family(card.family)
    undone = [hook for hook in card.hooks if hook not in hooks.hooks]
    if undone:
        raise CardError(
            f"{folder}: the card of {card.title} promises {listed(undone)}, which the family "
            f"{card.family!r} ({hooks.distribution}) does not give. Install the version of the "
            "family that this card was made with."
        )
    net = build(hooks, card, parts)
    if WEIGHTS in card.files:
        file = card.files[WEIGHTS]
        weights.verify(folder / WEIGHTS, file.sha256, file.size, again=False)
        weights.load_into(net, folder / WEIGHTS, dtype, device)
    elif net.state_dict():
        raise WeightsError(
            f"{folder}: the card of {card.title} names no {WEIGHTS}, but its net has weights."
        )
    return Model(card, net, hooks, dict(parts), folder=folder)


def build(hooks: Family, card: Card, parts: Mapping[str, Model], meta: bool = True) -> nn.Module:
    """The card's net, untrained: on the meta device (no memory) unless told otherwise."""
    try:
        with torch.device("meta") if meta else nullcontext():
            net = hooks.call("build", config=card.config, parts=parts)
    except (TypeError, KeyError, ValueError) as error:
        raise CardError(
            f"{card.title}: the family {hooks.name!r} cannot build from the card's config: "
            f"{type(error).__name__}: {error}. The config's keys: {listed(card.config)}."
        ) from error
    if not isinstance(net, nn.Module):
        raise PluginError(
            f"{hooks.distribution}: build answered {type(net).__name__}, not a torch.nn.Module."
        )
    return net


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A pretrained model. Cheap to copy: copies share the net.

    Images in: a tensor, numpy, PIL, paths or a list (see `zoo.Images.read`), in [-1, 1]. Every
    method runs without gradients; `net` is there for those who want them. Seeds: image i depends on
    (seed, i) alone.
    """

    card: Card
    net: nn.Module
    hooks: Family
    parts: Mapping[str, Model] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def family(self) -> str:
        """The name of its family."""
        return self.card.family

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        each = next(chain(self.net.parameters(), self.net.buffers()), None)
        return torch.device("cpu") if each is None else each.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the floating-point weights."""
        every = chain(self.net.parameters(), self.net.buffers())
        return next((each.dtype for each in every if each.is_floating_point()), torch.float32)

    def condition(self, **request: Any) -> Model:
        """P(x) becomes P(x | request): a new model that shares this one's net; requests add up.

        Raises Unsupported for a family without conditions, RequestError for one it does not
        understand.
        """
        made = replace(self, request={**self.request, **request})
        made._cond(1)
        return made

    @torch.no_grad()
    def encode(
        self, images: Any, seed: int | None = None, generator: Generator | None = None
    ) -> Tensor:
        """Images to latents (B, *Z): tokens are int64.

        Without seed or generator the mode, else a draw.

        Raises Unsupported, ImageError.
        """
        taken = self._images(images)
        generator = generator if seed is None else rng.generator(seed)
        return self._answer("encode", len(taken), images=taken, generator=generator)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Images:
        """Latents (B, *Z) to images, clamped to [-1, 1].

        `hooks` gives what the net itself answers, not clamped.

        Raises Unsupported, ImageError.
        """
        taken = latents_for(self.card, latents).to(self.device)
        taken = taken.to(self.dtype) if taken.is_floating_point() else taken
        return Images(self._answer("decode", len(taken), latents=taken).clamp(-1, 1))

    @torch.no_grad()
    def sample(
        self,
        count: int = 1,
        seed: int | None = None,
        generator: Generator | None = None,
        **options: Any,
    ) -> Images:
        """Draw `count` images; `options` are the family's, on top of the card's `sampling`.

        Raises Unsupported, RequestError for an unknown option.
        """
        if not isinstance(count, int) or count < 1:
            raise RequestError(f"count is how many images to draw, 1 or more; got {count!r}.")
        if options and not self.hooks.takes("sample", "options") and "sample" in self.hooks.hooks:
            raise RequestError(
                f"The family {self.family!r} has no sampling options; got {listed(options)}."
            )
        images = self._answer(
            "sample",
            count,
            count=count,
            options={**self.card.sampling, **options},
            generator=generator or rng.generator(seed),
            progress=progress,
        )
        return Images(images.clamp(-1, 1))

    @torch.no_grad()
    def log_prob(
        self, images: Any, seed: int | None = None, generator: Generator | None = None
    ) -> LogProb:
        """Log-probability of each image, with its kind and what it is over.

        Raises Unsupported (also where the card does not say what the number would mean),
        ImageError.
        """
        meaning = self.card.log_prob
        if meaning is None:
            self.hooks.need("log_prob")
            raise Unsupported(
                f"The card of {self.card.title} does not say what its log_prob means (zoo.log_prob: "
                "kind and over), so it gives none."
            )
        taken = self._images(images)
        generator = generator or rng.generator(seed)
        nats = self._answer("log_prob", len(taken), images=taken, generator=generator)
        numbers = prod(taken.shape[1:])
        if meaning.over == "tokens":
            numbers = numbers * prod(self.card.latent or ()) // prod(self.card.image)
        return LogProb(nats, meaning.kind, meaning.over, numbers)

    def to(self, device: Device = None, dtype: torch.dtype | None = None) -> Model:
        """Move the net (and its parts') in place, as `nn.Module.to` does; returns this model."""
        for each in self.parts.values():
            each.to(device, dtype)
        self.net.to(device=device, dtype=dtype)
        return self

    def compile(self, **options: Any) -> Model:
        """`torch.compile` the net's children in place (hooks call those); names of weights stay.

        Returns this model.
        """
        for child in self.net.children():
            child.compile(**options)
        return self

    def save(self, folder: str | os.PathLike[str], **changes: Any) -> Path:
        """Write card and weights to a folder that `load` takes; the folder.

        See `zoo.saving.save`.
        """
        from zoo.saving import save

        return save(self, Path(folder), changes)

    def __repr__(self) -> str:
        card = self.card
        sides = "x".join(map(str, card.image))
        latent = (
            ""
            if card.latent is None
            else f" -> {'x'.join(map(str, card.latent))} {card.latent_kind}"
        )
        codes = f" of {card.codes} codes" if card.codes else ""
        count = sum(each.numel() for each in self.net.parameters())
        asked = f", given {', '.join(self.request)}" if self.request else ""
        return (
            f"Model {card.title} (family {card.family}): {sides}{latent}{codes}, "
            f"{count / 1e6:.1f}M parameters, {str(self.dtype).removeprefix('torch.')} on "
            f"{self.device}{asked}"
        )

    def _call(self, hook: str, **arguments: Any) -> Any:
        return self.hooks.call(hook, net=self.net, **arguments)

    def _cond(self, batch: int) -> Any:
        """What the net takes for the request; None where nothing was asked for."""
        if not self.request:
            return None
        with torch.no_grad():
            return self._call("condition", request=self.request, batch=batch)

    def _images(self, images: Any) -> Tensor:
        return images_for(self.card, images).to(self.device, self.dtype)

    def _answer(self, hook: str, batch: int, **arguments: Any) -> Tensor:
        self.hooks.need(hook)
        answer = self._call(hook, cond=self._cond(batch), **arguments)
        return answered(self.card, self.hooks.distribution, hook, answer, batch)


def _part(name: str, near: Path, device: Device, dtype: torch.dtype | None) -> Model:
    """A part by name@version: a folder beside the model's own, or as any other model."""
    wanted, version = name.partition("@")[::2]
    for folder in (near.parent / name, near.parent / wanted):
        if (folder / "README.md").is_file() and Card.read(folder).title == name:
            return load(f"{folder.resolve()}", version, device, dtype)
    return load(wanted, version, device, dtype)
