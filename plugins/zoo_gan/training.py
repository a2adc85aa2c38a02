"""What training a GAN minimises: the generator's loss, then the discriminator's, in each step.

    theta_G <- argmin E f_G(D(T(G(z, y)), y))
    theta_D <- argmin E f_D(D(T(x), y), D(T(G(z, y)), y)) + gamma / 2 E |grad D(x, y)|^2

Both see the same made pictures: the generator's turn leaves them, detached, for the discriminator's. The made
pictures have the labels of the real ones. R1 is lazy (Karras et al., 2019, arXiv:1912.04958, appendix B): every k-th
step, k times as strong. T is `zoo_gan.augment`. The trainer averages the generator's weights (ema).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo import options
from zoo.errors import RequestError, listed
from zoo.train.objective import Batch, Objective
from zoo_gan import losses
from zoo_gan.augment import CHANGES, augmented
from zoo_gan.discriminators import Discriminator
from zoo_gan.net import Gan


@dataclass(frozen=True)
class Weights:
    """The recipe's [objective] table."""

    loss: Literal["non-saturating", "hinge"] = "non-saturating"
    r1: float = 0.0  # gamma; 0 leaves the penalty out
    r1_every: int = 16  # steps
    augment: Sequence[str] = ()  # of zoo_gan.augment.CHANGES, in their order here
    discriminator: Mapping[str, Any] = field(default_factory=dict)  # Discriminator's options

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Weights:
        """Raises RequestError for an unknown key, loss or change, naming those there are."""
        made = options.settings(cls, table, "[objective] of a GAN")
        for what, names, there in (
            ("loss", [made.loss], losses.GENERATOR),
            ("augment", made.augment, CHANGES),
        ):
            for name in names:
                if name not in there:
                    raise RequestError(
                        f"[objective] {what} has no {name!r}; it has {listed(there)}."
                    )
        if made.r1 < 0 or made.r1_every < 1:
            raise RequestError(
                f"[objective] r1 is 0 or more and r1_every 1 or more; got {made.r1} and "
                f"{made.r1_every}."
            )
        return made


def critic_of(net: Gan, options: Mapping[str, Any]) -> Discriminator:
    """A fresh discriminator for the net's pictures. Raises RequestError for an unknown option."""
    try:
        return Discriminator(net.channels, net.classes, **options)
    except TypeError as error:
        raise RequestError(f"[objective] discriminator = {dict(options)}: {error}.") from error


def labels_of(net: Gan, batch: Batch) -> Tensor | None:
    """The batch's labels, if the net has classes; RequestError if it has and they have not."""
    if not net.classes:
        return None
    if "labels" not in batch:
        raise RequestError(
            f"This GAN has {net.classes} classes and the data no labels. Take classes = 0, or a "
            "set with labels (`zoo data list`)."
        )
    labels: Tensor = batch["labels"]
    if int(labels.max()) >= net.classes:
        raise RequestError(
            f"This GAN has {net.classes} classes (0 .. {net.classes - 1}) and the data a label "
            f"{int(labels.max())}."
        )
    return labels


def objectives(net: Gan, table: Mapping[str, Any]) -> Sequence[Objective]:
    """The generator's and the discriminator's; `table` is the recipe's [objective]."""
    weights = Weights.of(table)
    critic = critic_of(net, weights.discriminator)
    f_generator, f_critic = losses.GENERATOR[weights.loss], losses.DISCRIMINATOR[weights.loss]

    def generator(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        images, labels = batch["images"], labels_of(net, batch)
        latents = torch.randn(len(images), *net.latent, dtype=images.dtype, device=images.device)
        made = net(latents, labels)
        batch["made"] = made.detach()  # for the discriminator
        logits = critic(augmented(made, weights.augment), labels)
        return f_generator(logits), {}

    def discriminator(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        images, labels = batch["images"], labels_of(net, batch)
        both = augmented(torch.cat([images, batch["made"]]), weights.augment)
        logits = critic(both, None if labels is None else labels.repeat(2))
        real, made = logits.chunk(2)
        loss = f_critic(real, made)
        terms: dict[str, Tensor | float] = {"real": real.mean(), "made": made.mean()}
        if weights.r1 and torch.is_grad_enabled() and step % weights.r1_every == 0:
            seen = augmented(images, weights.augment)
            terms["r1"] = losses.r1(lambda each: critic(each, labels), seen)
            loss = loss + weights.r1 / 2 * weights.r1_every * terms["r1"]
        return loss, terms

    def preview(batch: Batch) -> Tensor:
        count, like = len(batch["images"]), batch["images"]
        latents = torch.randn(4 * count, *net.latent, dtype=like.dtype, device=like.device)
        labels = None
        if net.classes:
            labels = torch.arange(4 * count, device=like.device) % count % net.classes
        pictures: Tensor = net(latents, labels)
        return pictures

    generated: list[nn.Parameter] = list(net.parameters())
    return [
        Objective("generator", generated, generator, module=critic, preview=preview),
        Objective("discriminator", list(critic.parameters()), discriminator),
    ]
