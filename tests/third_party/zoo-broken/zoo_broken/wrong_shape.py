"""Channels last, as in a PIL image."""

import zoo_pixelgauss
from zoo_pixelgauss import build as build
from zoo_pixelgauss import encode as encode

from zoo import hookimpl


@hookimpl
def decode(net, latents, cond):
    return zoo_pixelgauss.decode(net, latents, cond).permute(0, 2, 3, 1)


@hookimpl
def sample(net, count, cond, options, generator):
    return zoo_pixelgauss.sample(net, count, cond, options, generator).permute(0, 2, 3, 1)
