"""What a net that fills in pictures sees beside its latents, of a picture x and a mask m, 1 where it is drawn anew.

    masked    [m, z(x (1 - m))]               grey where it hides, as Stable Diffusion's
    kept      [z(x (1 - m) - m), 2 m - 1]     black where it hides, as CompVis' (scripts/inpaint.py of theirs)

(Rombach et al., 2022, arXiv:2112.10752, section 4.5.) z are latents, and m is taken at one pixel of each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo_ldm.stages import Stage

KINDS = ("masked", "kept")


def concatenated(
    kind: str, stage: Stage, images: Tensor, mask: Tensor, sides: Sequence[int]
) -> Tensor:
    """Pictures (B, C, H, W) and masks (B, 1, H, W) of 0 and 1 to (B, 1 + c, h, w), as a net of `kind` sees them."""
    small, shown = F.interpolate(mask, tuple(sides)), images * (1 - mask)
    if kind == "masked":
        return torch.cat([small, stage.latents(shown)], 1)
    return torch.cat([stage.latents(shown - mask), 2 * small - 1], 1)
