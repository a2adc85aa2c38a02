"""How a family takes over a stranger's checkpoint: the answer of its `adopt` hook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Piece:
    """Rows `start` to `stop` (all, where not given) of the foreign tensor `key`.

    `transform` (a name in TRANSFORMS) is done to the whole tensor first.
    """

    key: str
    start: int | None = None
    stop: int | None = None
    transform: str | None = None


@dataclass(frozen=True)
class Within:
    """A whole model inside the checkpoint: the keys that begin with `prefix`, which is taken off.

    Some installed family must adopt them, with `config`. `size` is the height and width of the
    pictures it is used with, where that is not what its own configuration says.
    """

    prefix: str
    config: Mapping[str, Any] | None = None
    size: tuple[int, int] | None = None


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
    # our key -> the pieces of foreign tensors that it is, one below the other; a foreign tensor may
    # be in several. For what is neither renamed nor dropped.
    pieces: Mapping[str, Sequence[Piece]] = field(default_factory=dict)
    parts: Mapping[str, Within] = field(default_factory=dict)  # role -> the model in this file
    hooks: Sequence[str] | None = None  # what the model can do, if not all that the family can
    # content of the files that `config` names ({"file": NAME}, see zoo.config_files): a vocabulary
    files: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)  # options that it was published with


# Named changes of layout from a foreign tensor to ours, so that an Adoption stays plain data.
TRANSFORMS: Mapping[str, str] = {
    "squeeze-conv": "(o, i, 1, 1) -> (o, i): a 1x1 convolution that is a linear layer here",
    "unsqueeze-conv": "(o, i) -> (o, i, 1, 1): a linear layer that is a 1x1 convolution here",
    "transpose": "(a, b) -> (b, a)",
    "hwio": "(h, w, i, o) -> (o, i, h, w): a convolution of TensorFlow or flax",
    "stacked": "(n, a, b) -> (n b, a): linear layers of flax, one above the other",
    "flatten": "(...) -> (n,)",
    "rows": "(..., c) -> (n, c)",
}
