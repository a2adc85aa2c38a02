"""Pictures to the noise they come from, and back, by DDIM without fresh noise (Song et al., 2021, arXiv:2010.02502).

    decode  x_s = (alpha_s / alpha_t) (x_t - sigma_t e(x_t, t)) + sigma_s e(x_t, t)         from noise to the picture
    encode  the same equation solved for x_t: e is first taken at x_s, and `refine` times again at the x_t found, a
            fixed-point iteration whose limit decode returns to the picture exactly

Nothing is clipped or guided, so that both are smooth.
"""

from __future__ import annotations

from torch import Tensor

from zoo.nn.diffusion import samplers, spacing
from zoo.nn.diffusion.choosing import USUAL_STEPS, chosen
from zoo.nn.diffusion.levels import Path, Step, moved
from zoo.nn.diffusion.predictions import Predicted
from zoo.nn.diffusion.sampling import Denoising, Run, Told, denoiser, widened


def encode(net: Denoising, x: Tensor, told: Told, steps: int = 0, refine: int = 0) -> Tensor:
    """Noise (B, C, H, W), standard normal if the model is right, of clean x alike; steps 0: as many as usual."""
    denoise, path = _run(net, len(x), told, steps)
    x = widened(x)
    for step in reversed(path.steps):
        if step.to.sigma:
            guess = _up(x, step, denoise(x, step.to))
        else:
            guess = _up(x, step, denoise(x * step.at.alpha, step.at))
        for _ in range(refine):
            guess = _up(x, step, denoise(guess, step.at))
        x = guess
    return x / _deviation(net, path)


def decode(net: Denoising, noise: Tensor, told: Told, steps: int = 0) -> Tensor:
    """What noise (B, C, H, W) becomes, alike."""
    denoise, path = _run(net, len(noise), told, steps)
    x = widened(noise) * _deviation(net, path)
    for step in path:
        found = denoise(x, step.at)
        x = found.x0 * step.to.alpha + found.eps * step.to.sigma
    return x


def _up(x: Tensor, step: Step, found: Predicted) -> Tensor:
    """X at `step.to` to the noisier `step.at`, by the noise foreseen; to pure noise by the picture foreseen."""
    if step.at.alpha:
        return moved(x, step.to, step.at, found.eps)
    noise: Tensor = (x - found.x0 * step.to.alpha) / step.to.sigma
    return noise


def _deviation(net: Denoising, path: Path) -> float:
    return float(path.steps[0].at.sigma) if net.process.start != 1 else 1.0


def _run(net: Denoising, count: int, told: Told, steps: int) -> tuple[samplers.Denoise, Path]:
    steps = steps or min(USUAL_STEPS, net.process.steps)
    run = Run(net, count, chosen(net.process, {"clip": False, "steps": steps}), told)
    return denoiser(run), spacing.path(net.process, steps)
