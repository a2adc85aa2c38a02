"""Probabilistic principal components: a family with a density in closed form, to start from.

    x = mean + W z + s e,   z ~ N(0, I_K),  e ~ N(0, I_D)
    p(x) = N(x; mean, W W^T + s^2 I)
    p(z | x) = N(M^-1 W^T (x - mean), s^2 M^-1),   M = W^T W + s^2 I

(Tipping & Bishop, 1999, "Probabilistic principal component analysis".) Put your own model in its place: change `Net`
and what the hooks answer. Each hook takes as few of its arguments as it needs, without defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.distributions import LowRankMultivariateNormal

from zoo import hookimpl
from zoo.options import labels, read
from zoo.rng import normal, streams
from zoo.train.objective import Batch, Objective


class Net(nn.Module):
    """W (D, K), one mean of D = C * H * W numbers a class (one in all without classes), and log s."""

    density = (
        "exact",
        "continuous pixels",
    )  # what log_prob gives; `zoo train` writes it into cards

    def __init__(self, shape: Sequence[int], latents: int, classes: int = 0) -> None:
        super().__init__()
        self.shape, self.classes = tuple(shape), classes
        size = prod(self.shape)
        self.weight = nn.Parameter(torch.randn(size, latents) / 4)  # (D, K)
        self.means = nn.Parameter(torch.randn(max(classes, 1), size) / 8)  # (classes, D)
        self.log_std = nn.Parameter(torch.tensor(-2.0))

    def mean(self, cond: Tensor | None) -> Tensor:
        """The mean of each picture: (B, D) for a condition of B labels, else (D,)."""
        return self.means.mean(0) if cond is None else self.means[cond]

    def picture(self, rows: Tensor) -> Tensor:
        """Rows (B, D) as pictures (B, C, H, W)."""
        return rows.reshape(-1, *self.shape)

    def nats(self, images: Tensor, cond: Tensor | None) -> Tensor:
        """Log p(x | cond) (B,) of images (B, C, H, W)."""
        noise = (2 * self.log_std).exp().expand(len(self.weight))
        gaussian = LowRankMultivariateNormal(self.mean(cond), self.weight, noise)
        nats: Tensor = gaussian.log_prob(images.flatten(1))  # type: ignore[no-untyped-call]
        return nats


@hookimpl
def build(config: Mapping[str, Any]) -> Net:
    """The net, untrained; its arguments are the card's config."""
    return Net(**config)


@hookimpl
def condition(net: Net, request: Mapping[str, Any], batch: int) -> Tensor:
    """`label`: 0 .. classes - 1, one for all pictures or one each; (batch,) int64."""
    given = read(request, "condition", label=None).label
    return torch.tensor(labels(given, net.classes, batch), device=net.means.device)


@hookimpl
def encode(net: Net, images: Tensor, cond: Tensor | None, generator: Generator | None) -> Tensor:
    """Latents (B, K): the mean of p(z | x), or with a generator a draw from it."""
    centred = images.flatten(1) - net.mean(cond)  # (B, D)
    variance = (2 * net.log_std).exp()
    lower = torch.linalg.cholesky(
        net.weight.T @ net.weight + variance * torch.eye(net.weight.shape[1]).to(net.weight)
    )  # (K, K), lower @ lower.T = M
    latents = torch.cholesky_solve((centred @ net.weight).T, lower).T  # (B, K)
    if generator is not None:
        noise = normal(streams(generator, len(images)), net.weight.shape[1]).to(latents)
        latents = latents + variance.sqrt() * torch.linalg.solve(lower.T, noise.T).T
    return latents


@hookimpl
def decode(net: Net, latents: Tensor, cond: Tensor | None) -> Tensor:
    """The mean picture (B, C, H, W) of latents (B, K)."""
    return net.picture(net.mean(cond) + latents @ net.weight.T)


@hookimpl
def sample(
    net: Net, count: int, cond: Tensor | None, options: Mapping[str, Any], generator: Generator
) -> Tensor:
    """Pictures (count, C, H, W); `temperature` (1.0) scales all noise."""
    temperature = read(options, "sampling option", temperature=1.0).temperature
    size, latents = net.weight.shape
    noise = temperature * normal(streams(generator, count), latents + size).to(net.weight)
    drawn = noise[:, :latents] @ net.weight.T + net.log_std.exp() * noise[:, latents:]  # (B, D)
    return net.picture(net.mean(cond) + drawn)


@hookimpl
def log_prob(net: Net, images: Tensor, cond: Tensor | None) -> Tensor:
    """Log p(x) (B,) in nats, exact, of continuous pixels."""
    return net.nats(images, cond)


@hookimpl
def objectives(net: Net) -> Sequence[Objective]:
    """One: the negative log-probability of the batch, in nats a number."""

    def loss(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        cond = batch["labels"] if net.classes else None
        nats = net.nats(batch["images"], cond)  # (B,)
        return -nats.mean() / prod(net.shape), {"nats": -nats.mean().detach()}

    return [Objective("likelihood", list(net.parameters()), loss)]
