"""What a ControlNet sees of its hint: a few convolutions from the picture's size to the U-Net's first map.

Zhang et al., "Adding Conditional Control", 2023 (arXiv:2302.05543), section 3.2. Made once a sample: it does not depend
on the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F


class Hint(nn.Module):
    """Hints (B, channels, H, W) in [0, 1] to features (B, outputs, H / factor, W / factor).

    widths  of the convolutions: the sides are halved between each and the next, so `factor` is 2^(widths - 1)

    bgr     whether it takes the channels in the other order

    The last convolution starts at zero.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], outputs: int, bgr: bool = False
    ) -> None:
        super().__init__()
        self.channels, self.factor, self.bgr = channels, 2 ** (len(widths) - 1), bgr
        layers = [nn.Conv2d(channels, widths[0], 3, padding=1)]
        for narrow, wide in pairwise(widths):
            layers.append(nn.Conv2d(narrow, narrow, 3, padding=1))
            layers.append(nn.Conv2d(narrow, wide, 3, stride=2, padding=1))
        self.layers = nn.ModuleList(layers)
        self.out = nn.Conv2d(widths[-1], outputs, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        if self.out.bias is not None:
            nn.init.zeros_(self.out.bias)

    def forward(self, hint: Tensor) -> Tensor:
        hint = hint.flip(1) if self.bgr else hint
        for layer in self.layers:
            hint = F.silu(layer(hint))
        out: Tensor = self.out(hint)
        return out
