"""Parity cases of PixelCNN++: its mixture of logistics, and the whole net."""

from __future__ import annotations

from zoo.parity import Runner
from zoo_pixel.parity.plusplus import MixtureRunner, NetRunner

RUNNERS: list[Runner] = [MixtureRunner(), NetRunner()]
