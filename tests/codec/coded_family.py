"""Two small families with real probabilities: a causal network over symbols, and a variational autoencoder.

`tables` and `walk` of the first compute the same numbers in different ways (a convolution over all symbols; matrix
products of the last few), as real families do, so that their last bits differ.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

import zoo
from zoo.errors import ImageError
from zoo.options import read


class Pixels:
    """Symbols of a net: sub-pixels in raster order, channels innermost, of `levels` grey levels."""

    def symbols(self, images):
        scaled = (images + 1) / 2 * (self.alphabet - 1)
        found = scaled.round()
        if (scaled - found).abs().max() > 1e-3:
            raise ImageError(f"{self.alphabet} levels alone; see zoo.data.binarise.")
        return found.permute(0, 2, 3, 1).flatten(1).long()

    def pictures(self, symbols):
        c, h, w = self.image
        values = symbols.view(-1, h, w, c).permute(0, 3, 1, 2)
        return values.float() / (self.alphabet - 1) * 2 - 1


class Chain(Pixels, nn.Module):
    """p(s_t | the `reach` symbols before it): one hidden layer over their embeddings."""

    def __init__(self, image, levels, width, reach, classes=0):
        super().__init__()
        self.image, self.alphabet, self.reach = tuple(image), levels, reach
        self.length = math.prod(image)
        self.embed = nn.Embedding(levels + 1, 8)  # the last stands for "before the picture"
        self.look = nn.Conv1d(8, width, reach)
        self.out = nn.Linear(width, levels)
        self.label = nn.Embedding(classes + 1, width)
        self.near = nn.Parameter(torch.tensor(1.0))

    def logits(self, hidden, last, cond):
        """(..., width) and the symbol before (...): a peak there, as in pictures."""
        levels = torch.arange(self.alphabet, device=last.device)
        peak = -(levels - last[..., None]).abs() * (8 * self.near / self.alphabet)
        bias = self.label(torch.full((), self.label.num_embeddings - 1) if cond is None else cond)
        bias = bias if bias.ndim == 1 else bias.view(-1, *[1] * (hidden.ndim - 2), bias.shape[-1])
        return self.out(torch.relu(hidden + bias)) + peak

    def tables(self, symbols, cond):
        before = F.pad(symbols, (self.reach, 0), value=self.alphabet)[:, :-1]
        hidden = self.look(self.embed(before).mT).mT  # (B, T, width)
        return self.logits(hidden, before[:, self.reach - 1 :], cond).softmax(-1)

    def walk(self, count, cond):
        return Walk(self, count, cond)


class Walk:
    def __init__(self, net, count, cond):
        self.net, self.cond = net, cond
        self.seen = torch.full((count, net.reach), net.alphabet)

    def probabilities(self):
        net = self.net
        hidden = net.look.bias.expand(len(self.seen), -1)
        for place in range(net.reach):
            hidden = hidden + net.embed(self.seen[:, place]) @ net.look.weight[:, :, place].mT
        logits = net.logits(hidden, self.seen[:, -1], self.cond)
        return (logits - logits.logsumexp(-1, keepdim=True)).exp()

    def push(self, symbols):
        self.seen = torch.cat([self.seen[:, 1:], symbols[:, None]], 1)


class Latent(Pixels, nn.Module):
    """A variational autoencoder with one hidden layer on either side and tables of `levels`."""

    def __init__(self, image, levels, width, latents):
        super().__init__()
        self.image, self.alphabet, self.latents = tuple(image), levels, latents
        self.length = math.prod(image)
        self.encoder = nn.Sequential(
            nn.Linear(self.length, width), nn.Tanh(), nn.Linear(width, 2 * latents)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latents, width), nn.Tanh(), nn.Linear(width, self.length)
        )
        self.scale = nn.Parameter(torch.tensor(0.0))

    def posterior(self, images, cond):
        mean, spread = self.encoder(images.flatten(1)).chunk(2, 1)
        return mean, F.softplus(spread)

    def tables_given(self, latents, cond):
        middle = self.decoder(latents)[..., None].view(len(latents), *self.image, 1)
        levels = torch.linspace(-1, 1, self.alphabet, dtype=latents.dtype)
        logits = -((levels - middle) ** 2) * self.scale.exp()
        return logits.softmax(-1).permute(0, 2, 3, 1, 4).flatten(1, 3)


@zoo.hookimpl
def build(config):
    kind = Latent if "latents" in config else Chain
    return kind(**config)


@zoo.hookimpl
def condition(net, request, batch):
    label = read(request, "condition", label=None).label
    return torch.as_tensor(label).expand(batch if isinstance(label, int) else len(label))


def exact(net, images, cond):
    symbols = net.symbols(images)
    return net.tables(symbols, cond).gather(-1, symbols[..., None])[..., 0].log().sum(1)


def bound(net, images, generator, draws=1):
    mean, std = net.posterior(images, None)
    divergence = 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).sum(1)
    noise = torch.randn(draws, *mean.shape, generator=generator, dtype=mean.dtype)
    symbols = net.symbols(images)
    nats = [
        net.tables_given(mean + std * each, None)
        .gather(-1, symbols[..., None])[..., 0]
        .log()
        .sum(1)
        for each in noise
    ]
    return torch.stack(nats).mean(0) - divergence


@zoo.hookimpl
def log_prob(net, images, cond, generator):
    if isinstance(net, Chain):
        return exact(net, images, cond)
    return bound(net, images, generator)
