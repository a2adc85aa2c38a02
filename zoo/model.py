"""A model: a card, a network and its family's hooks; the same methods whatever the family.

`load` reads as it runs: find the card, ask for the family, load the parts, build on the meta device, lay the weights
in. What a user gives is checked here, once, before a hook sees it; what a hook answers is checked too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from zoo import hub, rng, weights
from zoo.bare import shapes_only
from zoo.card import WEIGHTS, Card
from zoo.density import LogProb
from zoo.errors import (
    CardError,
    ImageError,
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


def load(name: Name, version: str | None = None, device: Device = None, dtype: torch.dtype | None = None) -> Model:
    """Load a pretrained model, ready to use.

    name     "vqgan-f16", "vqgan-f16@1.0.0", "hf:org/repo@revision", a model's folder, or the path of a stranger's
             checkpoint that an installed family recognises
    device   where the weights go; torch's default device (the CPU, unless set) if not given
    dtype    of floating-point weights; without it half precision becomes float32 and wider types stay

    Raises UnknownModel, UnknownVersion, UnknownFamily, CardError, WeightsError, HubError, ForeignError, PluginError.
    """
    if hub.is_foreign(name):
        from zoo.foreign_models import load_foreign

        return load_foreign(Path(name), device, dtype)
    found = hub.resolve(name, version)
    parts = {role: _part(part, found.folder, device, dtype) for role, part in found.card.parts.items()}
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
            f"{folder}: the card of {card.title} promises {listed(undone)}, which the family {card.family!r} "
            f"({hooks.distribution}) does not give. Install the version of the family that this card was made with."
        )
    net = build(hooks, card, parts)
    if WEIGHTS in card.files:
        file = card.files[WEIGHTS]
        weights.verify(folder / WEIGHTS, file.sha256, file.size, again=False)
        weights.load_into(net, folder / WEIGHTS, dtype, device)
    elif net.state_dict():
        raise WeightsError(f"{folder}: the card of {card.title} names no {WEIGHTS}, but its net has weights.")
    return Model(card, net, hooks, dict(parts), folder=folder)


def build(hooks: Family, card: Card, parts: Mapping[str, Model], meta: bool = True) -> nn.Module:
    """The card's net, untrained; on the meta device (shapes without memory) unless told otherwise."""
    try:
        with shapes_only() if meta else nullcontext():
            net = hooks.call("build", config=card.config, parts=parts)
    except (TypeError, KeyError, ValueError) as error:
        raise CardError(
            f"{card.title}: the family {hooks.name!r} cannot build from the card's config: "
            f"{type(error).__name__}: {error}. The config's keys: {listed(card.config)}."
        ) from error
    if not isinstance(net, nn.Module):
        raise PluginError(f"{hooks.distribution}: build answered {type(net).__name__}, not a torch.nn.Module.")
    return net


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A pretrained model. Cheap to copy: copies share the net.

    Images in: a tensor, numpy, PIL, paths or a list (see `zoo.Images.read`), in [-1, 1]. Every method runs without
    gradients; `net` is there for those who want them. Seeds: image i depends on (seed, i) alone.
    """

    card: Card
    net: nn.Module
    hooks: Family
    parts: Mapping[str, Model] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def family(self) -> str:
        return self.card.family

    @property
    def device(self) -> torch.device:
        return next((each.device for each in self.net.state_dict().values()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Of the floating-point weights."""
        floats = (each.dtype for each in self.net.state_dict().values() if each.dtype.is_floating_point)
        return next(floats, torch.float32)

    def condition(self, **request: Any) -> Model:
        """P(x) becomes P(x | request): a new model that shares this one's net; requests add up.

        Raises Unsupported for a family without conditions, RequestError for one it does not understand.
        """
        made = replace(self, request={**self.request, **request})
        made._cond(1)
        return made

    @torch.no_grad()
    def encode(self, images: Any, seed: int | None = None, generator: Generator | None = None) -> Tensor:
        """Images to latents (B, *Z): tokens are int64. Without seed or generator the mode, else a draw.

        Raises Unsupported, ImageError.
        """
        taken = self._images(images)
        if seed is not None:
            generator = rng.generator(seed)
        latents = self._call("encode", images=taken, cond=self._cond(len(taken)), generator=generator)
        return _answer(self, "encode", latents, len(taken))

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Images:
        """Latents (B, *Z) to images, clamped to [-1, 1] (call `hooks` for what the net itself gives).

        Raises Unsupported, ImageError.
        """
        latents = self._latents(latents)
        images = self._call("decode", latents=latents, cond=self._cond(len(latents)))
        return Images(_answer(self, "decode", images, len(latents)).clamp(-1, 1))

    @torch.no_grad()
    def sample(
        self, count: int = 1, seed: int | None = None, generator: Generator | None = None, **options: Any
    ) -> Images:
        """Draw `count` images; `options` are the family's, on top of the card's `sampling`.

        Raises Unsupported, RequestError for an unknown option.
        """
        if not isinstance(count, int) or count < 1:
            raise RequestError(f"count is how many images to draw, 1 or more; got {count!r}.")
        if options and not self.hooks.takes("sample", "options") and "sample" in self.hooks.hooks:
            raise RequestError(f"The family {self.family!r} has no sampling options; got {listed(options)}.")
        images = self._call(
            "sample",
            count=count,
            cond=self._cond(count),
            options={**self.card.sampling, **options},
            generator=generator or rng.generator(seed),
            progress=progress,
        )
        return Images(_answer(self, "sample", images, count).clamp(-1, 1))

    @torch.no_grad()
    def log_prob(self, images: Any, seed: int | None = None, generator: Generator | None = None) -> LogProb:
        """Log-probability of each image, with its kind and what it is over.

        Raises Unsupported (also where the card does not say what the number would mean), ImageError.
        """
        if "log_prob" in self.hooks.hooks and self.card.log_prob is None:
            raise Unsupported(f"The card of {self.card.title} does not say what its log_prob means, so it gives none.")
        taken = self._images(images)
        nats = self._call(
            "log_prob", images=taken, cond=self._cond(len(taken)), generator=generator or rng.generator(seed)
        )
        meaning = self.card.log_prob
        assert meaning is not None
        tokens = meaning.over == "tokens" and self.card.latent is not None
        sizes = self.card.latent if tokens else taken.shape[1:]
        dimensions = int(torch.Size(sizes or ()).numel())
        return LogProb(_answer(self, "log_prob", nats, len(taken)), meaning.kind, meaning.over, dimensions)

    def to(self, device: Device = None, dtype: torch.dtype | None = None) -> Model:
        """Move the net (and its parts') in place, as `nn.Module.to` does; returns this model."""
        for each in (*self.parts.values(),):
            each.to(device, dtype)
        self.net.to(device=device, dtype=dtype)
        return self

    def compile(self, **options: Any) -> Model:
        """`torch.compile` the net's children in place (hooks call those); names of weights stay. Returns this model."""
        for child in self.net.children():
            child.compile(**options)
        return self

    def save(self, folder: str | os.PathLike[str], **changes: Any) -> Path:
        """Write card and weights to a folder that `load` takes; the folder. See `zoo.saving.save`."""
        from zoo.saving import save

        return save(self, Path(folder), changes)

    def __repr__(self) -> str:
        card = self.card
        sides = "x".join(map(str, card.image))
        latent = "" if card.latent is None else f" -> {'x'.join(map(str, card.latent))} {card.latent_kind}"
        codes = f" of {card.codes} codes" if card.codes else ""
        count = sum(each.numel() for each in self.net.parameters())
        asked = f", given {', '.join(self.request)}" if self.request else ""
        return (
            f"Model {card.title} (family {card.family}): {sides}{latent}{codes}, {count / 1e6:.1f}M parameters, "
            f"{str(self.dtype).removeprefix('torch.')} on {self.device}{asked}"
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
        """Images of this model's shape, type and device. Raises ImageError stating both sides."""
        channels, height, width = self.card.image
        pictures = isinstance(images, Tensor)
        size = (height, width) if not pictures and self.card.multiple is None else None
        taken = Images.read(images, channels=channels, size=None if pictures else size).tensor
        given, multiple = tuple(taken.shape[1:]), self.card.multiple
        if given != self.card.image:
            fits = multiple and given[0] == channels and not (given[1] % multiple or given[2] % multiple)
            sizes = f", or other sizes with sides that are multiples of {multiple}" if multiple else ""
            if not fits:
                raise ImageError(
                    f"{self.name} takes images {channels}x{height}x{width} (C, H, W){sizes}; got "
                    f"{'x'.join(map(str, given))}. Resize first: zoo.Images.read(paths, channels={channels}, "
                    f"size={height if height == width else (height, width)})."
                )
        return taken.to(self.device, self.dtype)

    def _latents(self, latents: Tensor) -> Tensor:
        card = self.card
        shape = "none" if card.latent is None else "x".join(map(str, card.latent))
        if not isinstance(latents, Tensor):
            raise ImageError(f"{self.name} decodes a tensor of latents (B, {shape}), got {type(latents).__name__}.")
        if card.latent is not None:
            grid = card.multiple is not None  # other sizes have other grids
            wrong = latents.ndim != len(card.latent) + 1 or (not grid and tuple(latents.shape[1:]) != card.latent)
            if wrong or 0 in latents.shape:
                raise ImageError(f"{self.name} decodes latents (B, {shape}), got {tuple(latents.shape)}.")
        if card.latent_kind == "tokens":
            if latents.dtype.is_floating_point or latents.dtype == torch.bool:
                raise ImageError(f"{self.name} decodes tokens, which are int64; got {latents.dtype}.")
            low, high = (int(each) for each in latents.aminmax())
            if low < 0 or high >= (card.codes or 0):
                raise ImageError(f"{self.name} has tokens 0 .. {card.codes - 1}; got {low} .. {high}.")  # type: ignore[operator]
            return latents.to(self.device, torch.int64)
        return latents.to(self.device, self.dtype)


def _answer(model: Model, hook: str, answer: Any, count: int) -> Tensor:
    """What a hook answered, if it keeps the contract. Raises PluginError."""
    card, who = model.card, f"{model.hooks.distribution}: {hook} of {model.card.title}"
    if not isinstance(answer, Tensor):
        raise PluginError(f"{who} answered {type(answer).__name__}, not a tensor.")
    answer, shape = answer.detach().as_subclass(Tensor), tuple(answer.shape)
    if hook == "log_prob":
        if shape != (count,) or not answer.dtype.is_floating_point or answer.isnan().any():
            raise PluginError(f"{who} must answer one number of nats an image, ({count},); got {answer.dtype} {shape}.")
        return answer
    if hook == "encode":
        rank = len(card.latent) + 1 if card.latent is not None else answer.ndim
        if not shape or shape[0] != count or len(shape) != rank:
            raise PluginError(f"{who} must answer latents ({count}, {card.latent}); got {shape}.")
        if card.latent_kind == "tokens" and answer.dtype != torch.int64:
            raise PluginError(f"{who} must answer tokens as int64; got {answer.dtype}.")
        return answer
    if len(shape) != 4 or shape[:2] != (count, card.image[0]) or not answer.dtype.is_floating_point:
        raise PluginError(f"{who} must answer float images ({count}, {card.image[0]}, H, W); got {answer.dtype} {shape}.")
    if not torch.isfinite(answer).all():
        raise PluginError(f"{who} answered NaN or infinity. In half precision, try dtype=torch.float32.")
    return answer


def _part(name: str, near: Path, device: Device, dtype: torch.dtype | None) -> Model:
    """A part by name@version: a folder beside the model's own, or as any other model."""
    wanted, version = name.partition("@")[::2]
    for folder in (near.parent / name, near.parent / wanted):
        if (folder / "README.md").is_file() and Card.read(folder).title == name:
            return load(f"{folder.resolve()}", version, device, dtype)
    return load(wanted, version, device, dtype)
