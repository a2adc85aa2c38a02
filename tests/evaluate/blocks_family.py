"""The least tokenizer: each 8 x 8 block becomes the nearest of K colours."""

import math

import torch
from torch import nn
from torch.nn import functional as F

import zoo
from zoo.rng import streams

SIDE = 8


class Blocks(nn.Module):
    def __init__(self, codes):
        super().__init__()
        self.colours = nn.Parameter(torch.rand(codes, 3) * 2 - 1)  # (K, 3)


@zoo.hookimpl
def build(config):
    return Blocks(**config)


@zoo.hookimpl
def encode(net, images):
    means = F.avg_pool2d(images, SIDE).permute(0, 2, 3, 1)  # (B, h, w, 3)
    return torch.cdist(means.flatten(1, 2), net.colours).argmin(-1).view(means.shape[:3])


@zoo.hookimpl
def decode(net, latents):
    blocks = net.colours[latents].permute(0, 3, 1, 2)  # (B, 3, h, w)
    return blocks.repeat_interleave(SIDE, 2).repeat_interleave(SIDE, 3)


@zoo.hookimpl
def sample(net, count, generator):
    tokens = [
        torch.randint(len(net.colours), (4, 4), generator=g) for g in streams(generator, count)
    ]
    return decode(net, torch.stack(tokens))


@zoo.hookimpl
def log_prob(net, images):
    return torch.full((len(images),), -images[0].numel() * math.log(256))
