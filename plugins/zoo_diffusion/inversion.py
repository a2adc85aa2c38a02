"""Pictures to the noise they come from, and back, by DDIM without fresh noise (Song et al., 2021, arXiv:2010.02502).

    decode  x_s = (alpha_s / alpha_t) (x_t - sigma_t e(x_t, t)) + sigma_s e(x_t, t)         from noise to the picture
    encode  the same equation solved for x_t: e is first taken at x_s, and `refine` times again at the x_t found, a
            fixed-point iteration whose limit decode returns to the picture exactly

Nothing is clipped or guided, so that both are smooth.
"""

from __future__ import annotations

from torch import Tensor

from zoo import rng
from zoo.errors import RequestError
from zoo.nn.diffusion import Path, Predicted, Step, spacing
from zoo.nn.diffusion.levels import moved
from zoo.nn.diffusion.samplers import Denoise
from zoo_diffusion.asking import Asked
from zoo_diffusion.choosing import USUAL_STEPS, chosen
from zoo_diffusion.net import DiffusionModel
from zoo_diffusion.sampling import denoiser, told_of, unwatched


def encode(net: DiffusionModel, images: Tensor, cond: Asked | None) -> Tensor:
    """Noise (B, C, H, W), standard normal if the model is right, of pictures alike."""
    asked, denoise, path = _run(net, len(images), cond)
    x = images
    for step in reversed(path.steps):
        if step.to.sigma:
            guess = _up(x, step, denoise(x, step.to))
        else:
            guess = _up(x, step, denoise(x * step.at.alpha, step.at))
        for _ in range(asked.refine):
            guess = _up(x, step, denoise(guess, step.at))
        x = guess
    return x / _deviation(net, path)


def _up(x: Tensor, step: Step, found: Predicted) -> Tensor:
    """X at `step.to` to the noisier `step.at`, by the noise foreseen; to pure noise by the picture foreseen."""
    if step.at.alpha:
        return moved(x, step.to, step.at, found.eps)
    noise: Tensor = (x - found.x0 * step.to.alpha) / step.to.sigma
    return noise


def decode(net: DiffusionModel, latents: Tensor, cond: Asked | None) -> Tensor:
    """Pictures (B, C, H, W) of noise alike."""
    _, denoise, path = _run(net, len(latents), cond)
    x = latents * _deviation(net, path)
    for step in path:
        found = denoise(x, step.at)
        x = found.x0 * step.to.alpha + found.eps * step.to.sigma
    return x


def _deviation(net: DiffusionModel, path: Path) -> float:
    return float(path.steps[0].at.sigma) if net.process.start != 1 else 1.0


def _run(net: DiffusionModel, count: int, cond: Asked | None) -> tuple[Asked, Denoise, Path]:
    asked = cond or Asked()
    if net.classes and not net.null and asked.labels is None:
        raise RequestError("This model needs a label for each picture: condition(label=...).")
    found = chosen(net, {"clip": False, "steps": asked.steps}, asked)
    streams = rng.streams(rng.generator(0), count)
    told = told_of(net, count, asked, 0.0, streams, rng.generator(0), unwatched)
    free = Asked(asked.labels, refine=asked.refine)
    steps = asked.steps or min(USUAL_STEPS, net.process.steps)
    return free, denoiser(net, found, free, told), spacing.path(net.process, steps)
