"""Answers for another number of pictures, with tokens as floats."""

from zoo_pixelgauss import build as build

from zoo import hookimpl


@hookimpl
def encode(net, images):
    return images[:1]


@hookimpl
def log_prob(net, images):
    return images.sum()


@hookimpl
def decode(net, latents):
    return latents / 0
