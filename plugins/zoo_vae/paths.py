"""Ways through latent space.

    z(t) = ((1 - t) z_a + t z_b) n(t),   n(t) = r(t) / |(1 - t) z_a + t z_b|,   r(t) = (1 - t) |z_a| + t |z_b|

A standard normal vector of D numbers has a length near sqrt(D), and the straight line between two leaves that shell;
bent outwards to the length interpolated between the ends, the way stays where the decoder has been trained (White,
2016, arXiv:1609.04468, goes along the great circle instead; the ends and the lengths are the same).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.errors import RequestError, Unsupported

if TYPE_CHECKING:
    from zoo.images import Images
    from zoo.model import Model


def between(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """Latents (steps, *Z) from a to b, both (*Z), the ends among them."""
    share = torch.linspace(0, 1, steps, dtype=a.dtype, device=a.device)
    share = share.view(-1, *[1] * a.ndim)
    straight = torch.lerp(a[None], b[None], share)
    length = torch.lerp(a.norm(), b.norm(), share)
    norms = straight.flatten(1).norm(dim=1).view_as(share)
    return torch.where(norms > 0, straight * (length / norms.clamp(min=1e-12)), straight)


def interpolate(model: Model, a: Any, b: Any, steps: int = 8) -> Images:
    """`steps` pictures on the way from a to b, both rebuilt at the ends.

    Args:
        model: any model that encodes to continuous latents and decodes them.
        a: the first picture, as `model.encode` takes it.
        b: the last.
        steps: pictures, the ends counted; 2 or more.

    Raises:
        Unsupported: the model's latents are tokens, or it has none.
        RequestError: fewer than 2 steps, or more than one picture at an end.
    """
    if model.card.latent_kind != "continuous":
        raise Unsupported(
            f"Between two pictures of {model.card.title} there is no way: its latents are "
            f"{model.card.latent_kind}, not continuous. Take a model of the families vae or flow."
        )
    if steps < 2:
        raise RequestError(f"steps counts both ends, so it is 2 or more; got {steps}.")
    ends = [model.encode(each) for each in (a, b)]
    if any(len(each) != 1 for each in ends):
        raise RequestError(
            f"An interpolation goes from one picture to one; got {len(ends[0])} and {len(ends[1])}."
        )
    return model.decode(between(ends[0][0], ends[1][0], steps))
