"""A family whose net names its blocks and the layers that tensor parallelism may cut.

`python blocks.py FOLDER` trains by every FOLDER/NAME.toml, in the order of their names, into FOLDER/NAME; one of
several processes under torchrun. With KILL_AT in the environment every process kills itself with SIGKILL in that step.
"""

import os
import signal
import sys
from pathlib import Path

import torch
import toy
from torch import nn
from torch.nn import functional as F

from zoo.hookspecs import hookimpl
from zoo.train.objective import Objective

WIDTH, DEPTH, PLACES = 16, 3, 4


class Block(nn.Module):
    """x + two Linear layers around a GELU, the inner width to be cut; dropout outside the cut."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 64), nn.Linear(64, WIDTH)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        return x + self.dropout(self.narrow(F.gelu(self.wide(self.norm(x)))))


class Stack(nn.Module):
    """Patches of a picture to patches, by a stack of blocks; a running mean is a buffer."""

    def __init__(self):
        super().__init__()
        self.inward = nn.Linear(3 * 16, WIDTH)
        self.stack = nn.ModuleList(Block() for _ in range(DEPTH))
        self.outward = nn.Linear(WIDTH, 3 * 16)
        self.register_buffer("mean", torch.zeros(WIDTH))

    def blocks(self):
        return list(self.stack)

    def tensor_plan(self):
        pairs = {"wide": "column", "narrow": "row"}
        inner = {f"stack.{i}.{name}": pairs[name] for i in range(DEPTH) for name in pairs}
        return {**inner, "outward": "gather"}

    def encode(self, images):
        x = self.inward(F.pixel_unshuffle(images, 4).flatten(2).mT)  # (B, 4, 16)
        for block in self.stack:
            x = block(x)
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(x.detach().float().mean((0, 1)), 0.1)
        return x

    def decode(self, latents):
        patches = self.outward(latents).mT.unflatten(2, (2, 2))
        return F.pixel_shuffle(patches, 4)


@hookimpl
def build(config):
    return Stack(**config)


@hookimpl
def objectives(net, recipe):
    def loss(batch, step):
        if net.training and step == int(os.environ.get("KILL_AT", -1)):
            os.kill(os.getpid(), signal.SIGKILL)
        images = batch["images"]
        error = F.mse_loss(net.decode(net.encode(images)), images)
        return error, {"twice": 2 * error}

    return [Objective("stack", list(net.parameters()), loss)]


@hookimpl
def sample(net, count, generator):
    """Blocks are called by their parts here, as a sampler with a cache does."""
    x = torch.randn(count, PLACES, WIDTH, generator=generator)
    for block in net.stack:
        x = x + block.narrow(F.gelu(block.wide(block.norm(x))))
    return torch.tanh(net.decode(x))


def family():
    return toy.family("blocks", objectives, build=build, sample=sample, encode=None, decode=None)


if __name__ == "__main__":
    from zoo.train import load_recipe, train

    torch.set_num_threads(1)
    for file in sorted(Path(sys.argv[1]).glob("*.toml")):
        train(load_recipe(file), file.with_suffix(""), family=family(), data=toy.data())
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
