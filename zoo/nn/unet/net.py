"""The denoising U-Net of DDPM, improved, guided and latent diffusion, and of diffusers' UNet2D*Model: one net.

    net(x_t, t, {label, text, low, concat, ...}) -> what its process asks for (noise, picture, velocity, and a variance)

A picture goes down through levels of residual blocks, each at half the resolution, and up again, where each block
sees the map that the way down had there (Ronneberger et al., arXiv:1505.04597; Ho et al., arXiv:2006.11239; Nichol and
Dhariwal, arXiv:2102.09672; Dhariwal and Nichol, arXiv:2105.05233). Time, label and, for super-resolution, the level
of noise on the small picture are embedded, added, and told to every block. A text, or any other rows of numbers, is
attended to (Rombach et al., arXiv:2112.10752). What is told, `cond`, by name:

    label      (B,) int64, or vectors (B, embed)
    text       (B, L, attention.context), with `text_allowed` (B, L) bool where some of it is padding
    low        (B, low, h, w), with `low_level` (B,) where the net asks how noisy it is
    concat     (B, concat, H, W)
    control    what ControlNets add to the maps that the way up sees, one a map, then one for the middle; or a function
               of (x, t, cond) that gives them, or None where there is nothing to add (`zoo.nn.control`)
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
from zoo.nn.unet.paths import NOTHING, Ascent, Context, Descent

Labels = Literal["table", "time", "vector"]


class UNet(nn.Module):
    """x (B, channels, H, W), t (B,) -> (B, outputs, H, W); H and W divide by patch 2^(levels - 1).

    channels   of the noisy picture; `outputs` of what is predicted (twice as many with a learned variance), 0 for the
               way down alone, which ControlNets copy
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
    concat     channels of a map of x's size, seen beside it too
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
        concat: int = 0,
        centre: bool = False,
        patch: int = 1,
    ) -> None:
        super().__init__()
        said = {"width": widths[0], **(time or {})}
        embed = said.setdefault("embed", 4 * said["width"])
        attending, options = Attending(**(attention or {})), Residual(**(residual or {}))
        self.channels, self.outputs, self.widths = channels, outputs, tuple(widths)
        self.classes, self.null, self.low, self.concat = classes, null, low, concat
        self.context = attending.context
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
            channels + low + concat,
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
        if not outputs:
            return
        self.ascent = Ascent(widths, blocks, embed, options, attending, self.descent.skips, up)
        self.norm = GroupNorm(options.groups, widths[0], eps=options.eps)
        self.conv = nn.Conv2d(widths[0], outputs * patch**2, 3, padding=1)
        nn.init.zeros_(self.conv.weight)

    def forward(self, x: Tensor, t: Tensor, cond: Mapping[str, Any] | None = None) -> Tensor:
        cond = cond or {}
        control = cond.get("control")
        h, maps, e, context = self.down(x, t, cond)
        added = control(x, t, cond) if callable(control) else control
        if added is not None:
            h, maps = controlled(h, maps, added)
        h = self.ascent(h, maps, e, context)
        out: Tensor = self.conv(normalise_silu(self.norm, h, None, own=True))
        out = F.pixel_shuffle(out, self.patch) if self.patch > 1 else out
        return out / t.view(-1, 1, 1, 1).to(out) if self.time.kind == "fourier" else out

    def down(
        self, x: Tensor, t: Tensor, cond: Mapping[str, Any], hint: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor], Tensor, Context]:
        """The middle's map, those of the way down, and what all blocks are told; `hint` is added to the first map."""
        e = self.activation(self.embedded(t, cond))
        context = self.attended(cond)
        h, maps = self.descent(self.seen(x, cond), e, context, hint)
        return h, maps, e, context

    def embedded(self, t: Tensor, cond: Mapping[str, Any]) -> Tensor:
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

    def seen(self, x: Tensor, cond: Mapping[str, Any]) -> Tensor:
        """What the way down sees: (B, channels + low + concat, H, W). Raises ValueError for what is missing."""
        if self.centre:
            x = 2 * x - 1
        parts = [x]
        if self.low:
            if "low" not in cond:
                raise ValueError(f"the net needs `low`, the small pictures (B, {self.low}, h, w)")
            low = F.interpolate(cond["low"], x.shape[2:], mode="bilinear", align_corners=False)
            parts.append(low.to(x.dtype))
        if self.concat:
            wanted, concat = (len(x), self.concat, *x.shape[2:]), cond.get("concat")
            if concat is None or tuple(concat.shape) != wanted:
                got = "none" if concat is None else f"{tuple(concat.shape)}"
                raise ValueError(f"the net needs `concat`, maps {wanted} beside x, got {got}")
            parts.append(concat.to(x.dtype))
        return torch.cat(parts, dim=1) if len(parts) > 1 else x

    def attended(self, cond: Mapping[str, Any]) -> Context:
        """The text and which of it may be seen. Raises ValueError for a text too many; one too few the blocks find."""
        text = cond.get("text")
        if self.context is None:
            if text is not None:
                raise ValueError("a text was given to a net that attends to none")
            return NOTHING
        return text, cond.get("text_allowed")


def controlled(
    h: Tensor, maps: Sequence[Tensor], control: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """The middle's map and those of the way down, each with its residual, the middle's last. ValueError: others."""
    if [each.shape for each in control] != [each.shape for each in (*maps, h)]:
        own, given = ([tuple(each.shape) for each in some] for some in ((*maps, h), control))
        raise ValueError(f"`control` holds residuals {given}, the net's maps are {own}")
    return h + control[-1], [a + b for a, b in zip(maps, control, strict=False)]
