"""Weights: from a safetensors file into a net, no parameter initialised twice.

The net is built on the meta device (`zoo.bare`: shapes without memory), the file is mapped into
memory (`zoo.weights.files`), and the maps are assigned as the parameters (`zoo.weights.laying`).
"""

from zoo.weights.files import read as read
from zoo.weights.files import refuse_not_finite as refuse_not_finite
from zoo.weights.files import save as save
from zoo.weights.files import sha256_of as sha256_of
from zoo.weights.files import verify as verify
from zoo.weights.laying import assign as assign
from zoo.weights.laying import load_into as load_into
