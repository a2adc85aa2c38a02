"""Reference cases of flows: normflows' RealNVP and Glow."""

from zoo.parity import Runner
from zoo_flow.parity import normflows

RUNNERS: list[Runner] = [normflows.RealNVPRunner(), normflows.GlowRunner()]
