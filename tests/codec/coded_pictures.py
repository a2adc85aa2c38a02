"""Configs of the family `coded`, and pictures that its models can code."""

import numpy as np

CHAIN = {"image": [3, 6, 6], "levels": 256, "width": 16, "reach": 3}
BINARY = {"image": [1, 8, 8], "levels": 2, "width": 16, "reach": 9}
LATENT = {"image": [1, 8, 8], "levels": 2, "width": 24, "latents": 5}
GREY = {"image": [1, 6, 6], "levels": 256, "width": 24, "latents": 4}


def smooth(count, channels, height, width, seed=0, binary=False):
    """Pictures uint8 (N, C, H, W) with structure: waves and a little noise."""
    drawn = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 8
    phase = drawn.uniform(0, 6, (count, channels, 1, 1))
    speed = drawn.uniform(0.3, 1.2, (count, 1, 1, 1))
    waves = 127 + 90 * np.sin(speed * (x + 2 * y)[None, None] + phase)
    waves = np.clip(waves + drawn.normal(0, 4, waves.shape), 0, 255)
    return ((waves > 127) * 255 if binary else waves).astype(np.uint8)
