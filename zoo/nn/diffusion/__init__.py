"""Diffusion: processes that turn pictures into noise, and the many ways back.

    x_t = alpha_t x_0 + sigma_t e,   e ~ N(0, I)

Read in this order: `levels` (what a noise level is), `schedules` and `process` (which there are), `predictions` (what
a net can answer), `posterior` (one step back, exactly), `spacing` and `samplers` (many steps back), `guidance`,
`choosing` (their options by name), `starting` and `sampling` (a whole run), `inversion`, `losses`, `bounds`, `ode`
and `likelihood`. A family whose net denoises, pictures or latents, calls these.
"""

from __future__ import annotations

from zoo.nn.diffusion.levels import Level as Level
from zoo.nn.diffusion.levels import Path as Path
from zoo.nn.diffusion.levels import Step as Step
from zoo.nn.diffusion.predictions import Predicted as Predicted
from zoo.nn.diffusion.process import Process as Process
