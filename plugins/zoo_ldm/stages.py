"""Between pictures and the latents that are diffused: an autoencoder, held as a part.

    z = scale (E(x) - shift),    x^ = D(z / scale + shift)

E is the mode of q(z | x), or of a VQ-regularised autoencoder what its quantizer is given; D of the latter quantises
first (Rombach et al., 2022, arXiv:2112.10752, section 3.1). Scale and shift make latents of the training pictures about
N(0, 1); they are the autoencoder's own, unless the diffusion model was made with others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.model import Model
from zoo.nn import tiles


@dataclass(frozen=True, eq=False)
class Stage:
    """An autoencoder between pictures and latents that are diffused.

    Raises ValueError for a model that does not encode and decode.
    """

    model: Model
    scale: float
    shift: float

    def __post_init__(self) -> None:
        if self.model.card.latent_kind == "none" or not {"encode", "decode"} <= {
            *self.model.hooks.hooks
        }:
            raise ValueError(f"{self.model.card.title} does not encode and decode pictures")

    @torch.no_grad()
    def latents(self, images: Tensor) -> Tensor:
        """Pictures (B, C, H, W) to z (B, c, h, w), like `images`; deterministic."""
        model, given = self.model, images.to(self.model.device, self.model.dtype)
        if model.card.latent_kind == "tokens":
            net: Any = model.net
            found: Tensor = net.latents(given)
        else:
            found = model.encode(given)
        return ((found - self.shift) * self.scale).to(images)

    @torch.no_grad()
    def pictures(self, z: Tensor, together: int = 0, tile: int = 0) -> Tensor:
        """Z (B, c, h, w) to pictures (B, C, H, W) in [-1, 1], like z.

        together  pictures at a time; 0: all at once
        tile      pixels a side of the tiles they are made in, see `zoo.nn.tiles`; 0: as the autoencoder does it
        """
        model = self.model
        raw = (z / self.scale + self.shift).to(model.device, model.dtype)
        made = [self._decoded(some, tile) for some in torch.split(raw, together or len(raw))]
        return torch.cat(made).to(z)

    def _decoded(self, raw: Tensor, tile: int) -> Tensor:
        model = self.model
        if model.card.latent_kind == "tokens":
            net: Any = model.net
            raw = net.quantize(raw).tokens
        if not tile:
            return model.decode(raw).tensor

        def part(some: Tensor) -> Tensor:
            made: Tensor = model.hooks.call("decode", net=model.net, latents=some, cond=None)
            return made.clamp(-1, 1)

        return tiles.decode(part, raw, tile)


def stage(model: Model | None, scale: float | None, shift: float | None) -> Stage | None:
    """A part as a stage, with its own scale and shift where nothing else is said."""
    if model is None:
        return None
    own = (getattr(model.net, "scale", 1.0), getattr(model.net, "shift", 0.0))
    return Stage(model, own[0] if scale is None else scale, own[1] if shift is None else shift)
