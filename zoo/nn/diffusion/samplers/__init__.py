"""Samplers: the many ways from noise to a picture.

Each is a function with one signature,

    sampler(denoise, x, path, options, noise) -> an iterator of State, one for every evaluation of the net

    denoise(x, level) -> Predicted      the net, guidance and thresholding included; both x and x0 are (B, C, H, W)
    x                                   the noise to begin with, at the level of the path's first step
    noise() -> (B, C, H, W)             fresh standard normal numbers

and nothing is looked up inside the loop. What x is at the end is the last state's.
"""

from __future__ import annotations

from zoo.nn.diffusion.samplers.ancestral import ddpm as ddpm
from zoo.nn.diffusion.samplers.dpm import dpm as dpm
from zoo.nn.diffusion.samplers.dpm import dpm_single as dpm_single
from zoo.nn.diffusion.samplers.implicit import ddim as ddim
from zoo.nn.diffusion.samplers.implicit import euler as euler
from zoo.nn.diffusion.samplers.implicit import heun as heun
from zoo.nn.diffusion.samplers.implicit import lcm as lcm
from zoo.nn.diffusion.samplers.pndm import pndm as pndm
from zoo.nn.diffusion.samplers.state import Denoise as Denoise
from zoo.nn.diffusion.samplers.state import Options as Options
from zoo.nn.diffusion.samplers.state import Sampler as Sampler
from zoo.nn.diffusion.samplers.state import State as State
from zoo.nn.diffusion.samplers.unipc import unipc as unipc
