"""A model: a card, a network and its family's hooks; the same methods whatever the family.

What a user gives and what a hook answers is held against the card by `zoo.checking`; the methods
here only say what runs on what.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from zoo import config_files, rng, weights
from zoo.bare import shapes_only
from zoo.card import Card, Density
from zoo.checking import answered, images_for, latents_for
from zoo.density import LogProb
from zoo.errors import (
    CardError,
    PluginError,
    RequestError,
    Unsupported,
    listed,
)
from zoo.images import Images
from zoo.options import implied
from zoo.plugins import Family
from zoo.progress import progress

Device = str | torch.device | None
Name = str | os.PathLike[str]


def build(
    hooks: Family,
    card: Card,
    parts: Mapping[str, Model],
    meta: bool = True,
    folder: Path | None = None,
) -> nn.Module:
    """The card's net, untrained: on the meta device (no memory) unless told otherwise.

    Files that the config names (`zoo.config_files`) are read from `folder`, by the card's sha256.
    """
    if folder is not None:
        for name in config_files.names(card.config):
            if name not in card.files:
                raise CardError(
                    f"{card.title}: config takes the content of {name!r}, which is not among the "
                    f"card's files ({listed(card.files)})."
                )
            weights.verify(folder / name, card.files[name].sha256, card.files[name].size)
    config = config_files.filled(card.config, folder, card.title)
    try:
        with shapes_only() if meta else nullcontext():
            net = hooks.call("build", config=config, parts=parts)
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
    attach: Callable[[Model, Any], Model] | None = None  # `zoo.loading.attached`, which loads

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

    @property
    def density(self) -> Density:
        """What its log_prob means, for what is asked. Raises Unsupported where there is none, or the card does not say.

        A net whose request can change it says so by `density_given(request) -> (kind, over)`.
        """
        if self.card.log_prob is None:
            self.hooks.need("log_prob")
            raise Unsupported(
                f"The card of {self.card.title} does not say what its log_prob means "
                "(zoo.log_prob: "
                "kind and over), so it gives none."
            )
        given = getattr(self.net, "density_given", None)
        return self.card.log_prob if given is None else Density(*given(self.request))

    def condition(self, **request: Any) -> Model:
        """P(x) becomes P(x | request): a new model that shares this one's net; requests add up.

        `control` names ControlNets, or is them; they are made with this model as their base.

        Raises Unsupported for a family without conditions, RequestError for one it does not
        understand, CardError for a ControlNet of another base.
        """
        if self.attach is not None and request.get("control") is not None:
            named = request["control"]
            if isinstance(named, list | tuple):
                request["control"] = [self.attach(self, each) for each in named]
            else:
                request["control"] = self.attach(self, named)
        made = replace(self, request={**self.request, **request})
        made._cond(implied(made.request))
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
        seed: int | Sequence[int] | None = None,
        generator: Generator | None = None,
        **options: Any,
    ) -> Images:
        """Draw `count` images; `options` are the family's, on top of the card's `sampling`.

        `seed` is one for all, of which image i depends on (seed, i) alone; or a list of one an image, each of which
        comes out as `sample(1, seed)` would give it. Raises Unsupported, RequestError for an unknown option.
        """
        if not isinstance(count, int) or count < 1:
            raise RequestError(f"count is how many images to draw, 1 or more; got {count!r}.")
        if isinstance(seed, Sequence) and len(seed) != count:
            raise RequestError(
                f"seed has {len(seed)} entries for {count} images; give one, or one for each."
            )
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
        meaning = self.density
        taken = self._images(images)
        generator = generator or rng.generator(seed)
        nats = self._answer("log_prob", len(taken), images=taken, generator=generator)
        numbers = prod(taken.shape[1:])
        if meaning.over in ("tokens", "latents"):
            numbers = numbers * prod(self.card.latent or ()) // prod(self.card.image)
        return LogProb(nats, meaning.kind, meaning.over, numbers)

    @torch.no_grad()
    def terms(self, images: Any, seed: int | None = None) -> dict[str, Tensor]:
        """What -log_prob of each image is the sum of, by name, (B,) nats each: of the nets that tell it.

        Those have `log_prob_terms(images, cond, generator)`. Raises Unsupported for another.
        """
        told = getattr(self.net, "log_prob_terms", None)
        if told is None:
            raise Unsupported(
                f"{self.name} (family {self.family!r}) does not say what its log_prob is the sum of."
            )
        taken = self._images(images)
        found: dict[str, Tensor] = told(taken, self._cond(len(taken)), rng.generator(seed))
        return found

    @torch.no_grad()
    def log_prob_of_request(self) -> Tensor:
        """Log-probability (B,) in nats, exact, of what was asked for itself: P(text), beside P(image | text).

        Of the nets that predict their condition too: those have `log_prob_of_request(cond)`. Raises
        Unsupported for another, RequestError where nothing was asked.
        """
        told = getattr(self.net, "log_prob_of_request", None)
        if told is None:
            raise Unsupported(
                f"{self.name} (family {self.family!r}) gives probabilities of images, none of what is asked for."
            )
        nats: Tensor = told(self._cond(implied(self.request)))
        return nats

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
        return answered(self.card, self.hooks.who(hook), hook, answer, batch)
