"""A family and wrappers written for the hooks of genzoo 0.1, with every argument there was. Never changed.

While this works, so does what strangers wrote then: hooks may gain arguments, and never lose or rename one.
"""

import torch

from zoo import hookimpl
from zoo.rng import normal, streams


@hookimpl
def build(config, parts):
    net = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(net.weight, config["scale"])
    return net


@hookimpl
def condition(net, request, batch):
    return [request["shift"]] * batch


@hookimpl
def encode(net, images, cond, generator):
    return images / net.weight


@hookimpl
def decode(net, latents, cond):
    return latents * net.weight


@hookimpl
def sample(net, count, cond, options, generator, progress):
    shift = 0.0 if cond is None else torch.tensor(cond).view(-1, 1, 1, 1)
    return normal(streams(generator, count), 1, 4, 4) / 10 * options["scale"] + shift


@hookimpl
def log_prob(net, images, cond, generator):
    return -images.square().flatten(1).sum(1)


@hookimpl
def objectives(net, recipe):
    return []


@hookimpl
def adopt(keys, config):
    return None


class Wrappers:
    """Around every hook of a picture, with every argument there was."""

    def __init__(self):
        self.seen = []

    @hookimpl(wrapper=True)
    def encode(self, net, images, cond, generator):
        self.seen.append("encode")
        return (yield)

    @hookimpl(wrapper=True)
    def decode(self, net, latents, cond):
        self.seen.append("decode")
        return (yield)

    @hookimpl(wrapper=True)
    def sample(self, net, count, cond, options, generator, progress):
        self.seen.append("sample")
        return (yield)

    @hookimpl(wrapper=True)
    def log_prob(self, net, images, cond, generator):
        self.seen.append("log_prob")
        return (yield)


wrappers = Wrappers()
