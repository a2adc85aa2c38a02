"""A picture's latent by optimisation, which is an ESTIMATE: a GAN has no encoder.

    z^ = argmin_z  mean |G(z, y) - x|^2 + w |z|^2 / D,   w = 1e-4

(Zhu et al., 2016, arXiv:1609.03552; Creswell & Bharath, 2018, arXiv:1802.05701). It is not convex: of `starts` drawn
latents the best four are refined by Adam and the best of these is the answer. A picture that the generator never made
has no latent, and what comes back is the nearest that was found: look at decode(encode(x)) before believing it.

THE COST, LOUDLY: each picture takes `starts` passes through the generator and then `steps` passes forth and back with
four latents each. With 64 and 200, the defaults, that is about 2,500 times the work of drawing one picture: seconds a
picture on a CPU, hours for a test set. `condition(steps=..., starts=..., rate=...)` sets all
three; the config's `inversion_steps` is the card's own default.

Pictures are inverted one after another, so that none depends on its neighbours. Without a generator the starts come
from a fixed seed, the same for every picture: deterministic. With one they are drawn from it, picture by picture.
Without a label the search runs over the labels too, and the latent says which one it chose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from zoo import rng
from zoo.progress import progress
from zoo_gan.request import Request

if TYPE_CHECKING:
    from zoo_gan.net import Gan

KEPT = 4  # starts that are refined
TIGHT = 1e-4  # w: weak, but it keeps z where N(0, I) is
SEED = 20161  # of the starts where none is given


def invert(net: Gan, images: Tensor, cond: Request | None, generator: Generator | None) -> Tensor:
    """Latents (B, *Z) of images (B, C, H, W), the type and device of the images; with a bar where someone watches."""
    request = Request(steps=net.inversion_steps) if cond is None else cond
    with torch.inference_mode(False), torch.enable_grad():
        taken = images.clone()  # one made in inference mode can take no part in a gradient
        streams = (
            [Generator().manual_seed(SEED) for _ in taken]
            if generator is None
            else rng.streams(generator, len(taken))
        )
        rows = [
            one(net, taken[i : i + 1], request, i, streams[i])
            for i in progress(range(len(taken)), len(taken), "inverting the generator")
        ]
    return torch.cat(rows)


def one(net: Gan, image: Tensor, request: Request, index: int, stream: Generator) -> Tensor:
    """The latent (1, *Z) of one image (1, C, H, W)."""
    shape = (request.starts, *net.latent)
    starts = torch.randn(shape, generator=stream).to(image.device, image.dtype)
    labels = None
    if net.classes:
        if request.labels is not None:
            labels = request.labels[index].clone().expand(request.starts)
        else:  # as evenly over the labels as the starts allow
            labels = torch.arange(request.starts, device=image.device) % net.classes
        starts[:, 0] = net.coordinate(labels).to(starts.dtype)
    with torch.no_grad():
        order = loss(net, starts, labels, image).argsort(stable=True)[:KEPT]
    labels = None if labels is None else labels[order]
    z = starts[order].requires_grad_()
    adam = torch.optim.Adam([z], request.rate, betas=(0.9, 0.99))
    for step in range(request.steps):
        adam.param_groups[0]["lr"] = request.rate * (1 - step / request.steps)
        (z.grad,) = torch.autograd.grad(loss(net, z, labels, image).sum(), z)
        adam.step()
    with torch.no_grad():
        best = loss(net, z, labels, image).argmin()
    return z[best : best + 1].detach()


def loss(net: Gan, latents: Tensor, labels: Tensor | None, image: Tensor) -> Tensor:
    """The objective (N,) of latents (N, *Z) against one image (1, C, H, W)."""
    free = latents.shape[1] - net.dim
    far = (net(latents, labels) - image).square().mean((1, 2, 3))
    out: Tensor = far + TIGHT * latents[:, free:].square().mean(1)
    return out
