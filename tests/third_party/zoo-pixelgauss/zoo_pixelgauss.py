"""One Gaussian a pixel, its mean chosen by the class: the least that answers all six hooks.

Without a class, the mean is the mean of all.
"""

from math import log, pi

import torch
from torch import nn

from zoo import RequestError, hookimpl
from zoo.options import read
from zoo.rng import normal, streams


class PixelGauss(nn.Module):
    def __init__(self, classes, shape):
        super().__init__()
        self.mean = nn.Parameter(torch.randn(classes, *shape) / 4)  # (K, C, H, W)
        self.log_std = nn.Parameter(torch.full(tuple(shape), -1.0))  # (C, H, W)


@hookimpl
def build(config):
    return PixelGauss(**config)


@hookimpl
def condition(net, request):
    label = read(request, "condition", label=0).label
    if not 0 <= label < len(net.mean):
        raise RequestError(f"label must be 0 .. {len(net.mean) - 1}, is {label}.")
    return net.mean[label]  # (C, H, W)


@hookimpl
def encode(net, images, cond):
    mean = net.mean.mean(0) if cond is None else cond
    return (images - mean) / net.log_std.exp()  # (B, C, H, W)


@hookimpl
def decode(net, latents, cond):
    mean = net.mean.mean(0) if cond is None else cond
    return mean + latents * net.log_std.exp()  # (B, C, H, W)


@hookimpl
def sample(net, count, cond, options, generator):
    temperature = read(options, "sampling option", temperature=1.0).temperature
    noise = normal(streams(generator, count), *net.log_std.shape).to(net.log_std)  # (B, C, H, W)
    return decode(net, temperature * noise, cond)


@hookimpl
def log_prob(net, images, cond):
    squares = encode(net, images, cond).square() + log(2 * pi)  # (B, C, H, W)
    return -(squares / 2 + net.log_std).flatten(1).sum(1)  # (B,)
