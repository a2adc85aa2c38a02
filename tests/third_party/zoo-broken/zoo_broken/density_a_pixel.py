"""Forgets to sum over the channels and pixels."""

import zoo_pixelgauss
from zoo_pixelgauss import build as build

from zoo import hookimpl


@hookimpl
def log_prob(net, images, cond):
    return -zoo_pixelgauss.encode(net, images, cond).square()
