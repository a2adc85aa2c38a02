"""The denoising U-Net of DDPM, improved and guided diffusion, and of diffusers' UNet2DModel: one net.

    net(x_t, t, {label, low, low_level}) -> what its process asks for (noise, picture, velocity, and a variance)

A picture goes down through levels of residual blocks, each at half the resolution, and up again, where each block
sees the map that the way down had there (Ronneberger et al., arXiv:1505.04597; Ho et al., arXiv:2006.11239; Nichol and
Dhariwal, arXiv:2102.09672; Dhariwal and Nichol, arXiv:2105.05233). Time, label and, for super-resolution, the level
of noise on the small picture are embedded, added, and told to every block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.norm import GroupNorm, normalise_silu
from zoo.nn.residual import ACTIVATIONS
from zoo.nn.time import TimeEmbedding
from zoo.nn.unet.options import Attending, Residual
from zoo.nn.unet.paths import Ascent, Descent

Labels = Literal["table", "time", "vector"]


class UNet(nn.Module):
    """x (B, channels, H, W), t (B,) -> (B, outputs, H, W); H and W divide by patch 2^(levels - 1).

    channels   of the noisy picture; `outputs` of what is predicted (twice as many with a learned variance)
    widths     of the levels, finest first; `stem` of the first convolution, the first level's if not said
    blocks     residual blocks a level on the way down (one more on the way up)
    time       `TimeEmbedding`'s options; `width` is the first level's and `embed` four times that, if not said
    attention  `Attending`'s options, `residual` `Residual`'s
    down, up   how levels are resampled (`zoo.nn.unet.options` DOWN and UP), one for all or one a step
    middle     whether there is one; `middle_scale` divides its residual sums
    classes    labels 0 ... classes - 1, plus with `null` the label `classes`, for none
    labels     how labels are embedded: as rows of a "table" (which needs `classes`), like times ("time"), or not at
               all, being vectors (B, embed) already ("vector")
    low        channels of a small picture, made as large as x (bilinearly) and seen beside it
    low_level  whether the level of noise on it, in the units of t, is told too
    centre     maps x from [0, 1] to [-1, 1] first
    patch      patches of patch x patch pixels are the first level's positions, their pixels its channels, and back at
               the end: at the price of fine texture, 1 / patch^2 of the work (Luhman and Luhman, arXiv:2207.04316)
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        widths: Sequence[int],
        blocks: int = 2,
        *,
        stem: int | None = None,
        time: Mapping[str, Any] | None = None,
        attention: Mapping[str, Any] | None = None,
        residual: Mapping[str, Any] | None = None,
        down: str | Sequence[str] = "conv",
        up: str | Sequence[str] = "conv",
        middle: bool = True,
        middle_scale: float = 1.0,
        classes: int = 0,
        null: bool = False,
        labels: Labels | None = None,
        low: int = 0,
        low_level: bool = False,
        centre: bool = False,
        patch: int = 1,
    ) -> None:
        super().__init__()
        said = {"width": widths[0], **(time or {})}
        embed = said.setdefault("embed", 4 * said["width"])
        attending, options = Attending(**(attention or {})), Residual(**(residual or {}))
        self.channels, self.outputs, self.widths = channels, outputs, tuple(widths)
        self.classes, self.null, self.low = classes, null, low
        self.centre, self.patch = centre, patch
        self.activation = ACTIVATIONS[options.activation]
        self.time = TimeEmbedding(**said)
        self.labels = labels or ("table" if classes else None)
        if self.labels == "table":
            self.label = nn.Embedding(classes + null, embed)
        elif self.labels == "time":
            if self.time.kind != "sinusoid":
                raise ValueError(f"labels like times go with sinusoids, not {self.time.kind!r}")
            self.label_time = TimeEmbedding(**said)
        elif self.labels not in (None, "vector"):
            raise ValueError(f"unknown labels {labels!r}; there are 'table', 'time' and 'vector'")
        self.low_time = TimeEmbedding(**said) if low_level else None
        first = widths[0] if stem is None else stem
        self.descent = Descent(
            channels + low,
            widths,
            blocks,
            embed,
            options,
            attending,
            stem=first,
            down=down,
            middle=middle,
            middle_scale=middle_scale,
            patch=patch,
        )
        self.ascent = Ascent(widths, blocks, embed, options, attending, self.descent.skips, up)
        self.norm = GroupNorm(options.groups, widths[0], eps=options.eps)
        self.conv = nn.Conv2d(widths[0], outputs * patch**2, 3, padding=1)
        nn.init.zeros_(self.conv.weight)

    def forward(self, x: Tensor, t: Tensor, cond: Mapping[str, Tensor] | None = None) -> Tensor:
        cond = cond or {}
        e = self.activation(self.embedded(t, cond))
        h, maps = self.descent(self.seen(x, cond), e)
        h = self.ascent(h, maps, e)
        out: Tensor = self.conv(normalise_silu(self.norm, h, None, own=True))
        out = F.pixel_shuffle(out, self.patch) if self.patch > 1 else out
        return out / t.view(-1, 1, 1, 1).to(out) if self.time.kind == "fourier" else out

    def embedded(self, t: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """Time, label and noise level of the small picture: (B, embed). Raises ValueError for a label too few."""
        e: Tensor = self.time(t)
        label = cond.get("label")
        if self.labels is None and label is not None:
            raise ValueError("a label was given to a net that knows none")
        if self.labels is not None:
            if label is None and not self.null:
                raise ValueError(
                    f"the net needs a label for each picture, 0 ... {self.classes - 1}"
                )
            if label is None:
                label = torch.full((len(t),), self.classes, device=t.device)
            e = e + self._labelled(label).to(e.dtype)
        if self.low_time is not None:
            if "low_level" not in cond:
                raise ValueError("the net needs `low_level`, how noisy the small picture is, (B,)")
            e = e + self.low_time(cond["low_level"])
        return e

    def _labelled(self, label: Tensor) -> Tensor:
        if self.labels == "table":
            rows: Tensor = self.label(label)
            return rows
        if self.labels == "time":
            embedded: Tensor = self.label_time(label)
            return embedded
        return label

    def seen(self, x: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """What the way down sees: (B, channels + low, H, W). Raises ValueError without the small picture."""
        if self.centre:
            x = 2 * x - 1
        if not self.low:
            return x
        if "low" not in cond:
            raise ValueError(f"the net needs `low`, the small pictures (B, {self.low}, h, w)")
        low = F.interpolate(cond["low"], x.shape[2:], mode="bilinear", align_corners=False)
        return torch.cat([x, low.to(x.dtype)], dim=1)
