"""Works and draws when it is imported."""

import time

import torch
from zoo_pixelgauss import build as build

NOISE = torch.rand(3)
time.sleep(2.1)
