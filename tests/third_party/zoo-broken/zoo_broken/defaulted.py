from zoo_pixelgauss import build as build

from zoo import hookimpl


@hookimpl
def encode(net, images, cond=None):
    return images
