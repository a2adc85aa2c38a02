"""Grey pictures as black and white ones, dynamically: a pixel of brightness p is white with probability p.

    b ~ Bernoulli((x + 1) / 2)        (Salakhutdinov & Murray, 2008, https://doi.org/10.1145/1390156.1390266)

In training every epoch draws anew (Burda et al., 2015, arXiv:1509.00519, appendix D); to measure, picture i is drawn
once, from (seed, i).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from zoo import rng


def binarise(images: Tensor, generator: Generator) -> Tensor:
    """Draw black and white pictures: (B, C, H, W) in [-1, 1] to the same shape with the values -1 and 1."""
    return drawn(images, rng.streams(generator, len(images)))


def drawn(images: Tensor, streams: Sequence[Generator]) -> Tensor:
    """`binarise`, picture i from stream i."""
    threshold = rng.uniform(streams, *images.shape[1:], device=images.device, dtype=images.dtype)
    return torch.where(threshold < (images + 1) / 2, 1.0, -1.0).to(images)


class Binarised:
    """A set whose picture i is drawn once, from (seed, i): uint8 0 or 255, all else as it was."""

    def __init__(self, dataset: Any, seed: int = 0) -> None:
        self.dataset, self.seed = dataset, seed
        self.name = str(getattr(dataset, "name", "pictures given"))
        self.licences = tuple(getattr(dataset, "licences", ()))

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.dataset[index]
        item = dict(item) if isinstance(item, dict) else {"image": item}
        source = rng.generator(rng.derive(self.seed, index))
        image = item["image"].float()[None] / 127.5 - 1
        item["image"] = (drawn(image, [source])[0] > 0).to(torch.uint8) * 255
        return item
