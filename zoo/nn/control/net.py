"""ControlNet: a trainable copy of a U-Net's encoder half, whose maps are added to those of the frozen U-Net.

With E the encoder half of the base, of weights theta, and c the features of a hint (Zhang et al., 2023,
arXiv:2302.05543),

    maps_i(x, t)  <-  maps_i(x, t) + w Z_i E_theta'(x + c, t)_i,   theta' = theta and Z_i = 0 before training

for every map that the way up sees and for the middle's: a net that is not trained yet changes nothing. Several nets
add up, each with its weight w and the stretch of times where it speaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from zoo.nn.control.hint import Hint
from zoo.nn.unet import UNet


class ControlNet(nn.Module):
    """x (B, channels, H, W), t (B,), features of a hint -> residuals: one a map of the way down, then the middle's.

    net   options of the base `UNet`; its way up is left out
    hint  channels of the hints, in [0, 1]; `hint_widths` and `bgr` of `Hint`

    Raises ValueError for a U-Net without a middle.
    """

    def __init__(
        self,
        net: Mapping[str, Any],
        hint: int = 3,
        hint_widths: Sequence[int] = (16, 32, 96, 256),
        bgr: bool = False,
    ) -> None:
        super().__init__()
        self.net = UNet(**{**net, "outputs": 0})
        descent = self.net.descent
        if descent.middle is None:
            raise ValueError("a ControlNet copies a U-Net's middle, and this one has none")
        self.hint = Hint(hint, hint_widths, descent.skips[0], bgr)
        self.zeros = nn.ModuleList(nn.Conv2d(width, width, 1) for width in descent.skips)
        self.middle = nn.Conv2d(self.net.widths[-1], self.net.widths[-1], 1)
        for each in (*self.zeros, self.middle):
            nn.init.zeros_(each.weight)
            nn.init.zeros_(each.bias)

    def copy(self, base: nn.Module) -> None:
        """Take the weights of the base's encoder half. Raises ValueError for another architecture."""
        theirs, ours = base.state_dict(), self.net.state_dict()
        odd = [k for k, own in ours.items() if k not in theirs or theirs[k].shape != own.shape]
        if odd:
            raise ValueError(
                f"the base is another net: {len(odd)} of the {len(ours)} tensors of its encoder half are not as here "
                f"({', '.join(odd[:3])})"
            )
        self.net.load_state_dict({k: theirs[k] for k in ours})

    def forward(
        self, x: Tensor, t: Tensor, features: Tensor, cond: Mapping[str, Any] | None = None
    ) -> list[Tensor]:
        h, maps, _, _ = self.net.down(x, t, cond or {}, features)
        found: list[Tensor] = [zero(each) for zero, each in zip(self.zeros, maps, strict=True)]
        return [*found, self.middle(h)]


@dataclass(frozen=True)
class Control:
    """One net's share: the features (B, C, h, w) of the hints, made once a sample, and when and how much it speaks.

    weight         of all residuals, or one for each
    first, last    the times, as the net is told them, between which it speaks: first >= t >= last
    """

    net: ControlNet
    features: Tensor
    weight: float | Sequence[float] = 1.0
    first: float = inf
    last: float = -inf

    def speaks(self, t: Tensor) -> bool:
        """Whether it has a share at the time t (B,), which all pictures have in common."""
        if not self.weight or (self.first, self.last) == (inf, -inf):
            return bool(self.weight)
        return self.first >= float(t[0]) >= self.last

    def residuals(self, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> list[Tensor]:
        """Its share: x may hold the B pictures more than once, one lot after the other."""
        features = self.features
        if len(features) != len(x):
            features = features.repeat(len(x) // len(features), 1, 1, 1)
        found = self.net(x, t, features, cond)
        if isinstance(self.weight, int | float):
            return found if self.weight == 1 else [self.weight * each for each in found]
        return [weight * each for weight, each in zip(self.weight, found, strict=True)]


@dataclass(frozen=True)
class Controls:
    """The shares of several nets, as `UNet` asks for them: the sum of the residuals, or None where none speaks."""

    each: Sequence[Control]

    def __call__(self, x: Tensor, t: Tensor, cond: Mapping[str, Any]) -> list[Tensor] | None:
        speaking = [one for one in self.each if one.speaks(t)]
        if not speaking:
            return None
        shares = [one.residuals(x, t, cond) for one in speaking]
        return (
            shares[0]
            if len(shares) == 1
            else [torch.stack(s).sum(0) for s in zip(*shares, strict=True)]
        )
