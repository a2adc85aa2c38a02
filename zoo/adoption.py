"""How a family takes over a stranger's checkpoint: the answer of its `adopt` hook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Adoption:
    """A foreign checkpoint, recognised.

    Plain data: it is made from names and shapes before a tensor is read.
    """

    layout: str  # the name of the published layout: "taming-vqgan"
    config: Mapping[str, Any]  # for `build`
    rename: Mapping[str, str]  # foreign key -> our key, one to one
    image: tuple[int, int, int]  # (C, H, W)
    transforms: Mapping[str, str] = field(default_factory=dict)  # our key -> a name in TRANSFORMS
    dropped: Sequence[str] = ()  # patterns (fnmatch) of foreign keys that are not needed: "loss.*"
    latent: tuple[int, ...] | None = None  # (h, w) for tokens, (c, h, w) otherwise
    codes: int | None = None  # tokens are 0 .. codes - 1; None: the latents are not tokens
    multiple: int | None = None  # other sizes are taken if height and width are multiples of this
    log_prob: Mapping[str, str] | None = None  # {"kind": ..., "over": ...}, as in a card
    notes: str = ""  # what a user of the checkpoint should know


# Named changes of layout from a foreign tensor to ours, so that an Adoption stays plain data.
TRANSFORMS: Mapping[str, str] = {
    "squeeze-conv": "(o, i, 1, 1) -> (o, i): a 1x1 convolution that is a linear layer here",
    "unsqueeze-conv": "(o, i) -> (o, i, 1, 1): a linear layer that is a 1x1 convolution here",
    "transpose": "(a, b) -> (b, a)",
    "hwio": "(h, w, i, o) -> (o, i, h, w): a convolution of TensorFlow or flax",
    "flatten": "(...) -> (n,)",
}
