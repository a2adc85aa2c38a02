from zoo_pixelgauss import build as build


def sample(net, count):
    return None
