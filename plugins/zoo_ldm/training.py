"""What training minimises: one of `zoo.nn.diffusion.losses`, in latents.

The autoencoder is frozen, and what it makes of a picture is a function of the picture: with `remember` each view
(`zoo.train.views`) is encoded once. The text, or the label, is left out for a share of the pictures, so that one net
knows both p(z | text) and p(z) (Ho & Salimans, 2022, arXiv:2207.12598).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo import options
from zoo.errors import RequestError
from zoo.nn.diffusion import Process, losses, posterior
from zoo.train.objective import Batch, Objective
from zoo.train.views import Views
from zoo_ldm import filling, maps, prompts
from zoo_ldm.net import LatentDiffusion


@dataclass(frozen=True)
class Settings:
    """The recipe's [objective] table."""

    loss: str = ""  # of `losses.KINDS`; "": what fits the process, `losses.fitting`
    gamma: float = 5.0  # of min-snr and clipped-snr
    term: float = 0.001  # weight of T times the bound's term in hybrid
    null: float = 0.1  # share of pictures whose text or label is left out, of a net with `null`
    mirror: bool = False  # pictures mirrored with probability 1/2 where their caption allows it
    move: int = 0  # pixels by which a picture is moved, up, down, left or right, every other time
    remember: bool = (
        False  # keep the latents of views that were met before, in memory (half precision)
    )
    annotator: str = ""  # of `zoo.annotate`: makes the maps of a net that draws from them
    annotate: Mapping[str, Any] = field(default_factory=dict)  # the annotator's options

    @classmethod
    def of(cls, table: Mapping[str, Any], process: Process) -> Settings:
        """Raises RequestError for an unknown key, or a loss that does not fit the process."""
        made = options.settings(cls, table, "[objective] of a latent diffusion model")
        return replace(made, loss=losses.fitting(made.loss, process))


def objectives(net: LatentDiffusion, table: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective; `table` is the recipe's [objective]. Raises RequestError for a model that cannot be trained."""
    process, settings = net.process, Settings.of(table, net.process)
    if (net.beside or net.maps is not None) and (settings.mirror or settings.move):
        raise RequestError(
            "[objective] mirror and move change what becomes latents, and not what the net sees beside them or attends "
            "to as a map: leave them out."
        )
    stored = torch.float16 if settings.remember else None
    views = Views(lambda images: net.stage.latents(images), settings.mirror, settings.move, stored)

    def loss(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        playing = torch.is_grad_enabled()
        z, captions = views.of(batch["images"], batch.get("captions"), playing)
        z = z.to(net.like())
        told = _told(net, batch, captions, settings, settings.null if playing else 0.0)
        noise = torch.randn_like(z)
        uniform = losses.spread(len(z), torch.rand((), device=z.device))
        t = losses.draw_times(process, uniform, torch.randn(len(z), device=z.device))
        level = process.levels(t, z)
        x = level.noised(z, noise)
        output = net.network(x * level.scale if process.schedule == "edm" else x, level.time, told)
        given = losses.Noised(z, noise, x, t, level)
        return losses.loss(
            settings.loss, process, output, given, settings.gamma, settings.term, posterior.density
        )

    def preview(batch: Batch) -> Tensor:
        from zoo.nn.diffusion import choosing
        from zoo.nn.diffusion.sampling import Run, Told, sample, unwatched

        images, count = batch["images"], len(batch["images"])
        told = _told(net, batch, batch.get("captions"), settings, 0.0)
        few = choosing.chosen(net.process, {"steps": min(25, process.steps), "clip": False})
        streams = [torch.Generator().manual_seed(index) for index in range(count)]
        z = sample(Run(net, count, few, Told(told)), streams, unwatched)
        seen = net.stage.pictures(net.stage.latents(images))
        return torch.cat([seen, net.stage.pictures(z)]).clamp(-1, 1)

    trained = [each for each in net.parameters() if each.requires_grad]
    return [Objective("diffusion", trained, loss, preview=preview)]


def _told(
    net: LatentDiffusion,
    batch: Batch,
    captions: Sequence[str] | None,
    settings: Settings,
    null: float,
) -> dict[str, Any]:
    images, told = batch["images"], dict[str, Any]()
    absent = torch.rand(len(images)) < (null if net.null else 0.0)
    if net.reads:
        if captions is None:
            raise RequestError("this net is trained on texts, and the pictures have no captions.")
        if net.reader is None:
            raise RequestError("this net attends to a text, and it has no text encoder.")
        said = ["" if gone else each for each, gone in zip(captions, absent.tolist(), strict=True)]
        rows, allowed = prompts.rows(net.reader, said, net.like())
        told |= net.attended(rows, allowed)
    if net.classes:
        if "labels" not in batch:
            raise RequestError(
                f"The net has {net.classes} classes, but the pictures of [data] have no labels."
            )
        labels: Tensor = batch["labels"]
        told |= net.labelled(torch.where(absent.to(labels.device), net.classes, labels))
    how = (settings.annotator, settings.annotate)
    if net.maps is not None:
        found = maps.of_pictures(images, net.maps.channels, net.diffused[1:], *how)
        rows = net.maps(found.to(net.like()))
        gone = absent.to(rows.device)[:, None, None]
        told = maps.beside(told, torch.where(gone, net.maps.none(len(images)), rows))
    if net.beside:
        told["concat"] = _beside(net, batch, *how)
    return told


def _beside(net: LatentDiffusion, batch: Batch, annotator: str, how: Mapping[str, Any]) -> Tensor:
    """What the net sees beside x: the picture made small, a map of it, or a random half of it to fill in."""
    images, sides = batch["images"], net.diffused[1:]
    if net.beside == "low":
        return F.interpolate(images, sides, mode="area")
    if net.beside == "map":
        return maps.of_pictures(images, net.concat, sides, annotator, how)
    return filling.concatenated(net.beside, net.stage, images, _boxes(images), sides)


def _boxes(images: Tensor) -> Tensor:
    """Masks (B, 1, H, W): a random rectangle to fill in, of a quarter to all of each side."""
    count, (height, width) = len(images), images.shape[2:]
    share = 0.25 + 0.75 * torch.rand(count, 2)
    corner = torch.rand(count, 2) * (1 - share)
    rows, columns = torch.arange(height) / height, torch.arange(width) / width
    down = (rows >= corner[:, :1]) & (rows < corner[:, :1] + share[:, :1])
    across = (columns >= corner[:, 1:]) & (columns < corner[:, 1:] + share[:, 1:])
    return (down[:, None, :, None] & across[:, None, None, :]).to(images)
