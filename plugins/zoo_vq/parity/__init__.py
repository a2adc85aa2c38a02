"""Runners of the reference cases that this family knows: `python -m zoo.parity CASE...`."""

from zoo_vq.parity.lucidrains_scalar import FSQRunner, LFQRunner
from zoo_vq.parity.lucidrains_vector import ResidualRunner, VectorRunner

RUNNERS = [FSQRunner(), LFQRunner(), VectorRunner(), ResidualRunner()]
