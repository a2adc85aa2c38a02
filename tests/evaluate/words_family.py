"""A text-to-image family small enough to be known by heart: four tokens of four colours, one after another.

p(t_k | t_<k, text) = softmax(mood(text) + next[t_{k-1}]), where mood adds up a vector for each word that the net knows.
"""

import torch
from torch import nn

import zoo
from zoo import rng
from zoo.errors import RequestError
from zoo.options import one_each, read

WORDS = ("red", "green", "blue", "dark")
COLOURS = ((1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, -1.0, -1.0))
SIDE = 4


class Words(nn.Module):
    alphabet, length = 4, 4

    def __init__(self):
        super().__init__()
        self.mood = nn.Parameter(3.0 * torch.eye(4))  # (word, token)
        self.next = nn.Parameter(torch.linspace(-1, 1, 20).view(5, 4).sin())  # the last row begins
        self.encoded = 0  # pictures, so far

    def symbols(self, images):
        self.encoded += len(images)
        means = nn.functional.avg_pool2d(images, SIDE).flatten(2).mT  # (B, 4, 3)
        return torch.cdist(means, torch.tensor(COLOURS).to(means)).argmin(-1)

    def pictures(self, symbols):
        blocks = torch.tensor(COLOURS).to(self.mood)[symbols].mT.unflatten(2, (2, 2))
        return blocks.repeat_interleave(SIDE, 2).repeat_interleave(SIDE, 3)

    def logits(self, before, cond):
        mood = 0 if cond is None else (cond.to(self.mood) @ self.mood)[:, None]
        return (self.next[before] + mood).log_softmax(-1)

    def log_tables(self, symbols, cond):
        return self.logits(nn.functional.pad(symbols, (1, 0), value=4)[:, :-1], cond)

    def tables(self, symbols, cond):
        return self.log_tables(symbols, cond).exp()

    def log_likelihood(self, symbols, cond):
        return self.log_tables(symbols, cond).gather(-1, symbols[..., None])[..., 0].sum(1)

    def walk(self, count, cond):
        return Walk(self, count, cond)


class Walk:
    def __init__(self, net, count, cond):
        self.net, self.cond, self.last = net, cond, torch.full((count, 1), 4)

    def probabilities(self):
        return self.net.logits(self.last, self.cond)[:, 0].exp()

    def push(self, symbols):
        self.last = symbols[:, None]


@zoo.hookimpl
def build(config):
    return Words(**config)


@zoo.hookimpl
def condition(net, request, batch):
    text = read(request, "condition", text=None).text
    texts = one_each(tuple(text) if isinstance(text, list | tuple) else (text,), batch, "text")
    counts = torch.tensor([[each.split().count(word) for word in WORDS] for each in texts])
    if (counts.sum(1) == 0).any():
        raise RequestError(f"text = {text!r}: this model knows {', '.join(WORDS)}.")
    return counts


@zoo.hookimpl
def encode(net, images):
    return net.symbols(images).unflatten(1, (2, 2))


@zoo.hookimpl
def decode(net, latents):
    return net.pictures(latents.flatten(1))


@zoo.hookimpl
def sample(net, count, cond, generator):
    walk, drawn = net.walk(count, cond), []
    streams = rng.streams(generator, count)
    for _ in range(net.length):
        rows = zip(walk.probabilities(), streams, strict=True)
        drawn.append(torch.cat([torch.multinomial(row, 1, generator=g) for row, g in rows]))
        walk.push(drawn[-1])
    return net.pictures(torch.stack(drawn, 1))


@zoo.hookimpl
def log_prob(net, images, cond):
    return net.log_likelihood(net.symbols(images), cond)
