"""What training a variational autoencoder minimises: one objective, the negative bound.

    L = -E_q[ln p(x | z)] + beta sum_d max(lambda, mean_batch KL_d)

beta: Higgins et al., 2017 (https://openreview.net/forum?id=Sy2fzU9gl); free bits lambda, in nats a latent: Kingma et
al., 2016, arXiv:1606.04934, appendix C.8; beta rising linearly from `beta_start` over the first `warmup` steps:
Sonderby et al., 2016, arXiv:1602.02282. With `importance` = k above 1 the loss is -IWAE_k (Burda et al., 2015,
arXiv:1509.00519), which has neither. Held-out metrics are of the bound itself, whatever beta and lambda are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from torch import Tensor

from zoo import options
from zoo.errors import RequestError
from zoo.train.objective import Batch, Objective
from zoo_vae.bounds import elbo_terms, log_weights


@dataclass(frozen=True)
class Settings:
    """The recipe's [objective] table."""

    beta: float = 1.0
    beta_start: float = 1.0  # at step 0
    warmup: int = 0  # steps until beta
    free_bits: float = 0.0  # nats a latent that cost nothing
    importance: int = 1  # latents a picture; above 1: IWAE
    label_dropout: float = 0.1  # share of pictures whose class is "any", for a net with classes

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Settings:
        """Raises RequestError for an unknown key or an impossible value."""
        made = options.settings(cls, table, "[objective] of a VAE")
        if made.importance < 1:
            raise RequestError(f"[objective] importance = {made.importance} must be 1 or more.")
        if made.importance > 1 and (made.beta != 1 or made.beta_start != 1 or made.free_bits):
            raise RequestError(
                "[objective] importance above 1 minimises -IWAE_k, which has no KL term of its own: leave out beta, "
                "beta_start and free_bits."
            )
        return made

    def weight(self, step: int) -> float:
        """Beta at a step."""
        done = min(1.0, step / self.warmup) if self.warmup else 1.0
        return self.beta_start + (self.beta - self.beta_start) * done


def objectives(net: Any, table: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective; `table` is the recipe's [objective], read by `Settings`."""
    settings = Settings.of(table)

    def classes(batch: Batch) -> Tensor | None:
        images = batch["images"]
        if not net.classes:
            return None
        if "labels" not in batch:
            raise RequestError(
                f"The net has {net.classes} classes, but the pictures of [data] have no labels. Leave out `classes` in "
                "[model.config], or take a set with labels (mnist, fashion-mnist, cifar10)."
            )
        labels: Tensor = batch["labels"]
        if not torch.is_grad_enabled():
            return labels
        dropped = torch.rand(len(images), device=images.device) < settings.label_dropout
        return torch.where(dropped, net.classes, labels)

    def bound(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        images = batch["images"]
        noise = torch.randn(len(images), net.latents, device=images.device, dtype=images.dtype)
        likely, kl = elbo_terms(net, images, classes(batch), noise)
        mean = kl.mean(0)  # (D,)
        costly = mean.clamp(min=settings.free_bits) if settings.free_bits else mean
        beta = settings.weight(step)
        loss = beta * costly.sum() - likely.mean()
        distortion, rate = -likely.detach().mean(), mean.detach().sum()
        return loss, {
            "nats": distortion + rate, "distortion": distortion, "rate": rate, "beta": beta,
            "active": (mean.detach() > 0.01).float().sum(),
        }  # fmt: skip

    def weighted(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        images, k = batch["images"], settings.importance
        labels = classes(batch)
        many = [each.repeat_interleave(k, 0) for each in net.seen(images, labels)]
        labels = None if labels is None else labels.repeat_interleave(k, 0)
        noise = torch.randn(k * len(images), net.latents, device=images.device, dtype=images.dtype)
        drawn = net.draw(tuple(many), labels, noise)
        each = log_weights(net, drawn, noise, images.repeat_interleave(k, 0)).view(-1, k)
        nats = log(k) - each.logsumexp(1).mean()
        return nats, {"nats": nats.detach(), "elbo": each.detach().mean()}

    def preview(batch: Batch) -> Tensor:
        images = batch["images"]
        labels = net.labels(None, len(images))
        given = net.draw(net.seen(images, labels), labels, None).given
        noise = torch.randn(len(images), net.latents, device=images.device, dtype=images.dtype)
        drawn = net.likelihood.mean(net.given(noise, labels))
        return torch.cat([images, net.likelihood.mean(given), drawn]).clamp(-1, 1)

    loss = bound if settings.importance == 1 else weighted
    return [Objective("bound", list(net.parameters()), loss, preview=preview)]
