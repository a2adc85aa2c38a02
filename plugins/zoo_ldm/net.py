"""A latent diffusion model: a network that denoises latents, its process, and the parts beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo.adapters import sharing
from zoo.errors import Unsupported, listed
from zoo.model import Model
from zoo.nn.diffusion import Process
from zoo.nn.dit import DiT
from zoo.nn.unet import UNet, pieces
from zoo_ldm import filling
from zoo_ldm.maps import MapRows
from zoo_ldm.prompts import TextEncoder, Words
from zoo_ldm.stages import Stage, stage

NETWORKS: Mapping[str, type[nn.Module]] = {"unet": UNet, "dit": DiT}
BESIDE = ("", "low", "map", *filling.KINDS)


class LatentDiffusion(nn.Module):
    """A network that denoises latents.

    Args:
        image: (C, H, W) of pictures; latent: (c, h, w) of what is diffused.
        network: net(x (B, c, h, w), t (B,), cond) -> (B, c or 2 c, h, w); `zoo.nn.unet.net` says what cond may hold.
        process: what it was made for.
        words: the text encoder trained with it, or None.
        pooled: whether the mean of a text's rows is told to every block too, as a label is: a small net learns from
            that what attention teaches it late.
        null: whether it was trained without its text or label too, which guidance needs.
        beside: what it sees beside x, as `concat`: "low", a small picture, "map", one of `network.concat` channels, or
            "masked" or "kept", a mask and the latents of what it keeps (`zoo_ldm.filling`); "": nothing.
        stored: whether the scale is kept with the weights, as measured when training began, and not in the card.
        named: how many labels the network attends to, as rows of their own, in place of a text; the row after the last
            stands for none if it has `null`.
        maps: what makes rows of a map, which the network attends to, after those of a text if it reads one.
        parts: `autoencoder`, `text` and `preview`; no children of this module.

    Raises ValueError for parts that do not fit.
    """

    # parts that a card need not name and `zoo.compose` may add
    roles = ("autoencoder", "text", "preview")

    def __init__(
        self,
        image: Sequence[int],
        latent: Sequence[int],
        network: nn.Module,
        process: Process,
        words: Words | None = None,
        pooled: bool = False,
        null: bool = False,
        beside: str = "",
        scale: float | None = None,
        shift: float | None = None,
        stored: bool = False,
        named: int = 0,
        maps: MapRows | None = None,
        parts: Mapping[str, Model] | None = None,
    ) -> None:
        super().__init__()
        self.image, self.diffused = tuple(image), tuple(latent)
        self.network, self.process, self.words = network, process, words
        self.null, self.beside, self.maps = null, beside, maps
        self.classes = int(getattr(network, "classes", 0) or 0)
        self.concat = int(getattr(network, "concat", 0) or 0)
        self.context = getattr(network, "context", None)
        self.names: nn.Embedding | None = None
        if named:
            other = words is not None or maps is not None
            if self.context is None or self.classes or other:
                raise ValueError(
                    "labels that are attended to need a network with a context, no classes of its own, no text and no "
                    "maps"
                )
            self.names = nn.Embedding(named + null, self.context)
            self.classes, self.context = named, None
        if stored:
            self.register_buffer("scale", torch.ones(()))
        self.copied: nn.Module | None = None  # of the part's text encoder: see `take_words`
        held = dict(parts or {})
        self._parts = (
            held,
            stage(held.get("autoencoder"), scale, shift),
            stage(held.get("preview"), None, None),
        )
        self._fits()
        self.summary: nn.Linear | None = None
        if pooled:
            self.summary = self._summary()

    def _summary(self) -> nn.Linear:
        """Rows' mean (B, D) to what is added to the embedded time (B, embed); at first nothing."""
        if self.reader is None or getattr(self.network, "labels", None) != "vector":
            raise ValueError(
                "pooled is for a U-Net that reads texts and is told vectors: net.labels = 'vector'"
            )
        network: Any = self.network
        made = nn.Linear(self.reader.width, network.time.second.out_features)
        nn.init.zeros_(made.weight)
        nn.init.zeros_(made.bias)
        return made

    def _fits(self) -> None:
        held, main, preview = self._parts
        outputs = getattr(self.network, "outputs", self.diffused[0])
        self.process.fits(self.diffused[0], int(outputs))
        if unknown := sorted(set(held) - set(self.roles)):
            raise ValueError(f"a latent diffusion model has {listed(self.roles)}, not {unknown}")
        for what, each in (("autoencoder", main), ("preview", preview)):
            card = None if each is None else each.model.card
            if card is None or card.latent is None:
                continue
            own, theirs = self.image[-1] / self.diffused[-1], card.image[-1] / card.latent[-1]
            if own != theirs:
                raise ValueError(
                    f"a latent is {own:g} pixels wide in this model, and {theirs:g} in its {what} {card.title}"
                )
            if card.latent_kind == "tokens":
                continue
            if card.latent[0] != self.diffused[0]:
                raise ValueError(
                    f"this model diffuses latents {self.diffused}, those of its {what} {card.title} are {card.latent}"
                )
        if self.words is not None and "text" in held:
            raise ValueError(
                "this model has a text encoder of its own (text in its config) and a part text: keep one"
            )
        reader = self.reader
        if reader is not None and self.context != reader.width:
            raise ValueError(
                f"the text encoder gives rows of {reader.width} numbers, the network attends to {self.context}"
            )
        if self.maps is not None and self.beside == "map":
            raise ValueError(
                "a map is attended to (maps) or concatenated (beside = 'map'): keep one"
            )
        fills = dict.fromkeys(filling.KINDS, 1 + self.diffused[0])
        wanted = {"": 0, "low": self.image[0], **fills}.get(self.beside, self.concat)
        if self.concat != wanted or (self.beside == "map" and not self.concat):
            raise ValueError(
                f"beside = {self.beside!r} needs net.concat = {wanted or 'channels'}, not {self.concat}"
            )

    @property
    def stage(self) -> Stage:
        """The autoencoder. Raises Unsupported without one."""
        found = self._parts[1]
        if found is None:
            raise Unsupported(
                f"This model's x is latents {self.diffused} of an autoencoder that it was loaded without. "
                "Give its card `parts: {autoencoder: NAME@VERSION}`, or draw latents "
                "(zoo.nn.diffusion.sampling.sample, model.net)."
            )
        scale = getattr(self, "scale", None)
        return found if scale is None else replace(found, scale=float(scale))

    @property
    def preview(self) -> Stage | None:
        """A small autoencoder of the same latents, for pictures on the way."""
        return self._parts[2]

    @property
    def reader(self) -> TextEncoder | None:
        """What reads prompts: its own text encoder, or its part's."""
        part = self._parts[0].get("text")
        found: Any = self.copied or (self.words if part is None else part.net)
        return cast(TextEncoder | None, found)

    def take_words(self) -> None:
        """Take a text encoder that is a part as this net's own, with its weights: the part learns no words."""
        part = self._parts[0].get("text")
        if part is not None and self.copied is None:
            self.copied = sharing(part)

    @property
    def reads(self) -> bool:
        """Whether its network attends to a text, whose encoder may be missing."""
        return self.context is not None and (self.maps is None or self.reader is not None)

    @property
    def density(self) -> tuple[str, str]:
        """What log_prob gives, for the card, if nothing else is asked for."""
        return self.density_given({})

    def density_given(self, request: Mapping[str, Any]) -> tuple[str, str]:
        """What log_prob gives for a request: (kind, over)."""
        ode = self.process.continuous or request.get("likelihood") == "ode"
        return "estimate" if ode else "lower bound", "latents"

    def tunable(self) -> Mapping[str, Sequence[str]]:
        """What `zoo finetune` moves: the network's layers, and the words of the text encoder that is its own."""
        words = {"words.embed": self.words, "copied.embed": self.copied}
        return {
            "lora": ("network.*",),
            "textual-inversion": [name for name, reader in words.items() if reader is not None],
        }

    def blocks(self) -> list[nn.Module]:
        """What is computed again for gradients, one by one, if memory is short."""
        return pieces(self.network)

    def reset_buffers(self) -> None:
        """What the network computes itself and no file holds."""
        for module in self.network.modules():
            if hasattr(module, "reset_buffers"):
                cast(Any, module).reset_buffers()

    def like(self) -> Tensor:
        """A tensor of the network's device and type."""
        return next(self.network.parameters())

    def attended(self, rows: Tensor, allowed: Tensor | None) -> dict[str, Tensor]:
        """What the network is told of prompts: rows (B, L, D), which may be seen (B, L), and their mean."""
        told = {"text": rows}
        if allowed is not None:
            told["text_allowed"] = allowed
        if self.summary is not None:
            seen = torch.ones_like(rows[:, :, 0]) if allowed is None else allowed.to(rows)
            mean = (rows * seen[:, :, None]).sum(1) / seen.sum(1, keepdim=True)
            told["label"] = self.summary(mean)
        return told

    def labelled(self, labels: Tensor) -> dict[str, Tensor]:
        """What the network is told of labels (B,): themselves, or the rows (B, 1, D) that it attends to."""
        if self.names is None:
            return {"label": labels}
        rows: Tensor = self.names(labels)
        return {"text": rows[:, None]}

    def answer(self, x: Tensor, time: float, told: Mapping[str, Any]) -> Tensor:
        """The network's answer about x (B, c, h, w) when it is told `time`."""
        t = torch.full((len(x),), time, device=x.device, dtype=torch.float32)
        out: Tensor = self.network(x, t, told)
        return out


def latent_diffusion(config: Mapping[str, Any], parts: Mapping[str, Model]) -> LatentDiffusion:
    """The net of a configuration; README.md beside this file says what its keys mean.

    Raises TypeError for an unknown or missing key, ValueError for values or parts that do not fit.
    """
    return _built(parts=parts, **config)


def _built(
    parts: Mapping[str, Model],
    image: Sequence[int],
    latent: Sequence[int],
    net: Mapping[str, Any],
    process: Mapping[str, Any],
    text: Mapping[str, Any] | None = None,
    pooled: bool = False,
    classes: int = 0,
    null: bool = False,
    beside: str = "",
    scale: float | None = None,
    shift: float | None = None,
    stored: bool = False,
    attends: str = "text",
    maps: Mapping[str, Any] | None = None,
) -> LatentDiffusion:
    options = dict(net)
    kind = options.pop("kind", None)
    if kind not in NETWORKS:
        raise ValueError(f"unknown kind of network {kind!r}; there are {', '.join(NETWORKS)}")
    if attends not in ("text", "label"):
        raise ValueError(f"unknown attends {attends!r}; there are 'text' and 'label'")
    named = classes if attends == "label" else 0
    if not named and classes != (net.get("classes") or 0):
        raise ValueError(f"classes = {classes} and net.classes = {net.get('classes', 0)} differ")
    if beside not in BESIDE:
        raise ValueError(f"unknown beside {beside!r}; there are {', '.join(map(repr, BESIDE))}")
    words = None if text is None else Words(**text)
    network = NETWORKS[kind](**options)
    rows: MapRows | None = None
    if maps is not None:
        width: int | None = getattr(network, "context", None)
        if width is None:
            raise ValueError("maps are attended to: the network needs net.attention.context")
        rows = MapRows(width, latent[1:], **maps)
    return LatentDiffusion(
        image, latent, network, Process(**process), words, pooled, null, beside, scale, shift, stored, named, rows,
        parts,
    )  # fmt: skip
