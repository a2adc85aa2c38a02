"""The least class-conditional density: every pixel is a coin of its own, white with a probability
that the label fixes. Without a label, the labels are equally probable."""

import itertools
import math

import torch
from torch import nn

import zoo
from zoo.options import read
from zoo.rng import streams, uniform


class Coins(nn.Module):
    def __init__(self, classes, shape):
        super().__init__()
        self.white = nn.Parameter(torch.full((classes, *shape), 0.5))  # (K, C, H, W)


@zoo.hookimpl
def build(config):
    return Coins(**config)


@zoo.hookimpl
def condition(net, request):
    label = read(request, "condition", label=0).label
    if not 0 <= label < len(net.white):
        raise zoo.RequestError(f"label must be 0 .. {len(net.white) - 1}, is {label}.")
    return net.white[label][None]  # (1, C, H, W)


@zoo.hookimpl
def sample(net, count, cond, generator):
    white = net.white.mean(0) if cond is None else cond
    draws = uniform(streams(generator, count), *net.white.shape[1:])
    return torch.where(draws < white, 1.0, -1.0)


@zoo.hookimpl
def log_prob(net, images, cond):
    if not ((images == 1) | (images == -1)).all():
        raise zoo.ImageError("Pixels must be -1 or 1; zoo.data.binarise draws them.")
    white = net.white if cond is None else cond  # (K or 1, C, H, W)
    chance = torch.where(images[:, None] > 0, white, 1 - white)  # (B, K or 1, C, H, W)
    return chance.log().flatten(2).sum(2).logsumexp(1) - math.log(white.shape[-4])


def every_picture():
    """All pictures of 2 x 2 black and white pixels (16, 1, 2, 2)."""
    rows = list(itertools.product([-1.0, 1.0], repeat=4))
    return torch.tensor(rows, dtype=torch.float64).view(16, 1, 2, 2)
