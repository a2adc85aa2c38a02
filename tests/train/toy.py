"""Families of a thousand parameters, and pictures to train them on.

`python toy.py RECIPE OUT [KILL_AT]` trains the family that the recipe names. With KILL_AT the
process kills itself with SIGKILL in the middle of that step, as a power cut would.
"""

import dataclasses
import os
import signal
import sys
import types

import torch
from torch import nn
from torch.nn import functional as F

from zoo.hookspecs import hookimpl
from zoo.plugins import register
from zoo.train.objective import Objective

SIZE = 8


class Pictures:
    """`count` pictures (3, 8, 8): each a colour with a brighter square, fixed by its index."""

    name, licences = "squares", ("CC0-1.0",)

    def __init__(self, count=32, labels=False, first=0):
        self.count, self.labels, self.first = count, labels, first

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < self.count:
            raise IndexError(index)
        generator = torch.Generator().manual_seed(self.first + index)
        image = torch.randint(0, 128, (3, 1, 1), generator=generator).expand(3, SIZE, SIZE).clone()
        row, column = torch.randint(0, SIZE - 3, (2,), generator=generator).tolist()
        image[:, row : row + 3, column : column + 3] += 100
        found = {"image": image.to(torch.uint8), "caption": None, "label": None}
        return {**found, "label": index % 2} if self.labels else found


class Coder(nn.Module):
    """Pictures to 6 numbers and back, with dropout (noise) and a running mean (a buffer that
    moves)."""

    def __init__(self, width=16, dropout=0.1):
        super().__init__()
        self.inward = nn.Sequential(nn.Conv2d(3, width, 4, 4), nn.SiLU(), nn.Dropout(dropout))
        self.middle = nn.Conv2d(width, 6, 1)
        self.outward = nn.ConvTranspose2d(6, 3, 4, 4)
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64), persistent=False)

    def encode(self, images):
        latents = self.middle(self.inward(images))
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(latents.detach().float().mean((0, 2, 3)), 0.1)
                self.seen += 1
        return latents

    def decode(self, latents):
        return self.outward(latents)


def judge():
    return nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 1))


@hookimpl
def build(config):
    return Coder(**config)


@hookimpl
def encode(net, images):
    return net.encode(images)


@hookimpl
def decode(net, latents):
    return net.decode(latents)


def one_objective(net, recipe):
    """Reconstruction with a little input noise; `explode_at` makes the loss NaN there."""

    def loss(batch, step):
        images = batch["images"]
        noisy = images + 0.05 * torch.randn_like(images) if net.training else images
        error = F.mse_loss(net.decode(net.encode(noisy)), images)
        if step == recipe.get("explode_at", -1):
            error = error * float("nan")
        return error, {"mae": error.detach().sqrt()}

    return [Objective("coder", list(net.parameters()), loss)]


def two_objectives(net, recipe):
    """The same against a discriminator, with a frozen module that only measures."""
    discriminator, frozen = judge(), judge().requires_grad_(False)
    start = recipe.get("start", 3)

    def coder(batch, step):
        images = batch["images"]
        back = net.decode(net.encode(images))
        error = F.l1_loss(back, images) + 0.1 * F.l1_loss(frozen(back), frozen(images))
        fool = -discriminator(back).mean() if step >= start else torch.zeros(())
        return error + 0.1 * fool, {"error": error, "fool": fool}

    def discriminate(batch, step):
        with torch.no_grad():
            back = net.decode(net.encode(batch["images"]))
        real, fake = discriminator(batch["images"]), discriminator(back)
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean(), {}

    return [
        Objective("coder", list(net.parameters()), coder, nn.ModuleList([frozen])),
        Objective(
            "judge", list(discriminator.parameters()), discriminate, discriminator, start=start
        ),
    ]


def family(name="toy", objectives=None, **hooks):
    """The toy family `toy` (one objective) or `toygan` (two); `hooks` replace its own."""
    objectives = objectives or (two_objectives if name == "toygan" else one_objective)
    made = types.ModuleType(name)
    found = {"build": build, "encode": encode, "decode": decode, "objectives": hookimpl(objectives)}
    for hook, function in {**found, **hooks}.items():
        if function is not None:
            setattr(made, hook, function)
    return register(name, made)


def dying(name, step):
    """The objectives of that family, in a process that is killed in the middle of `step`."""
    plain = two_objectives if name == "toygan" else one_objective

    def objectives(net, recipe):
        first, *rest = plain(net, recipe)

        def loss(batch, now):
            if now == step and net.training:
                os.kill(os.getpid(), signal.SIGKILL)
            return first.loss(batch, now)

        return [dataclasses.replace(first, loss=loss), *rest]

    return objectives


def data():
    """Training and held-out pictures."""
    return Pictures(), Pictures(16, first=1000)


if __name__ == "__main__":
    from zoo.train import load_recipe, train

    torch.set_num_threads(1)
    recipe = load_recipe(sys.argv[1])
    name = recipe.model.family
    killed = dying(name, int(sys.argv[3])) if len(sys.argv) > 3 else None
    train(recipe, sys.argv[2], family=family(name, objectives=killed), data=data())
