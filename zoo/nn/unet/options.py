"""What the blocks of a U-Net are made of: plain options, shared by all of a net's blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zoo.nn.residual import ACTIVATIONS

Modulation = Literal["shift", "scale-shift"]
Split = Literal["heads", "parts", "apart"]
DOWN = ("conv", "conv-right", "pool", "block")
UP = ("conv", "nearest", "block")


@dataclass(frozen=True)
class Residual:
    """Of residual blocks.

    groups, eps  of the group norms
    activation   in the blocks: silu, gelu, mish, relu
    modulation   how the embedding enters: "shift" adds it before the second norm (DDPM), "scale-shift" scales and
                 shifts after it (Nichol and Dhariwal, arXiv:2102.09672)
    """

    groups: int = 32
    eps: float = 1e-5
    activation: str = "silu"
    modulation: Modulation = "scale-shift"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.modulation not in ("shift", "scale-shift"):
            raise ValueError(
                f"unknown modulation {self.modulation!r}; there are 'shift' and 'scale-shift'"
            )
        if self.activation not in ACTIVATIONS:
            known = sorted(ACTIVATIONS)
            raise ValueError(f"unknown activation {self.activation!r}; there are {known}")


@dataclass(frozen=True)
class Attending:
    """Where there is attention, and of what kind.

    levels         with attention on the way down (0 is the finest); `up_levels` on the way up, if others
    middle         whether the middle has attention between its two blocks
    heads          how many, or one number for each level (the middle has the last one's); `up_heads` on the way up, if
                   others
    head_channels  channels a head, instead of `heads`
    split          how one projection divides into queries, keys and values: "heads" (heads, then q, k, v), "parts"
                   (q, k, v, then heads), or "apart": three projections
    groups         of the norm before it; the residual blocks' if None
    middle_groups  of the middle's, if others; 0: no norm there
    context        channels of a context that is attended to as well, by `zoo.nn.unet.transformer`'s transformers of
                   `depth` blocks, or of one number for each level
    """

    levels: tuple[int, ...] = ()
    up_levels: tuple[int, ...] | None = None
    middle: bool = True
    heads: int | tuple[int, ...] = 1
    up_heads: int | None = None
    head_channels: int | None = None
    split: Split = "heads"
    groups: int | None = None
    middle_groups: int | None = None
    context: int | None = None
    depth: int | tuple[int, ...] = 1

    def __post_init__(self) -> None:
        for name in ("levels", "up_levels", "heads", "depth"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        if self.split not in ("heads", "parts", "apart"):
            raise ValueError(
                f"unknown split {self.split!r}; there are 'heads', 'parts' and 'apart'"
            )

    def shape(self, channels: int, up: bool = False, level: int = -1) -> tuple[int, int]:
        """(heads, channels a head) of attention over so many channels at a level; the last is -1."""
        if self.head_channels is not None:
            heads, each = channels // self.head_channels, self.head_channels
        else:
            heads = self.up_heads if up and self.up_heads is not None else at(self.heads, level)
            each = channels // max(1, heads)
            if heads * each != channels:
                raise ValueError(f"{channels} channels do not divide among {heads} heads")
        if heads < 1:
            raise ValueError(f"{channels} channels hold no head of {self.head_channels}")
        return heads, each


def at(numbers: int | tuple[int, ...], level: int) -> int:
    """The number of a level, where there is one for each. Raises ValueError where there are too few."""
    if isinstance(numbers, int):
        return numbers
    if level >= len(numbers):
        raise ValueError(f"{list(numbers)} has no number for level {level}")
    return numbers[level]
