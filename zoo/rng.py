"""Random numbers an image at a time: image i depends on (seed, i), not on the batch's size.

A hook is handed one `torch.Generator`. `streams` draws one number from it (the same however many
images there are) and derives from that number and i a generator for image i; `normal` and `uniform`
draw from each stream what one image needs and stack it. Everything is drawn on the CPU in float32
and then moved, so that a seed means the same picture on every device and in every precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Generator, Tensor


class Seeds(Generator):
    """A generator for images that have a seed each: `streams` gives image i what seed i gives an image alone."""

    def __new__(cls, seeds: Sequence[int]) -> Seeds:
        return super().__new__(cls)  # torch's takes a device

    def __init__(self, seeds: Sequence[int]) -> None:
        self.each = [generator(seed) for seed in seeds]


def generator(seed: int | Sequence[int] | None = None) -> Generator:
    """A generator of its own; without a seed, one nobody knows; of several seeds, one for as many images.

    The global generator is left alone.
    """
    if isinstance(seed, Sequence):
        return Seeds(seed)
    made = Generator()
    if seed is None:
        made.seed()
    else:
        made.manual_seed(seed)
    return made


def derive(seed: int, *path: int) -> int:
    """A 63-bit seed for the place `path` (an epoch, an image) below `seed`."""
    digest = blake2b(
        b"".join(int(each).to_bytes(16, "little", signed=True) for each in (seed, *path)),
        digest_size=8,
    )
    return int.from_bytes(digest.digest(), "little") >> 1


def streams(generator: Generator, count: int) -> list[Generator]:
    """`count` generators, number i the same for every count.

    Each call gives new ones (it draws from `generator`). Of `Seeds` every image takes as many in a row as the others.
    """
    if isinstance(generator, Seeds):
        times = count // len(generator.each)
        return [each for single in generator.each for each in streams(single, times)]
    root = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
    return [Generator().manual_seed(derive(root, index)) for index in range(count)]


def normal(
    streams: Sequence[Generator],
    *shape: int,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Standard normal numbers (len(streams), *shape), row i from stream i."""
    rows = [
        torch.randn(shape, generator=each, dtype=torch.float32, device="cpu") for each in streams
    ]
    return torch.stack(rows).to(device=device, dtype=dtype)


def uniform(
    streams: Sequence[Generator],
    *shape: int,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Uniform numbers in [0, 1) (len(streams), *shape), row i from stream i."""
    rows = [
        torch.rand(shape, generator=each, dtype=torch.float32, device="cpu") for each in streams
    ]
    return torch.stack(rows).to(device=device, dtype=dtype)


def choose(streams: Sequence[Generator], logits: Tensor) -> Tensor:
    """One index (B,) int64 a row of `logits` (B, K), drawn by its probabilities from stream i."""
    sums = logits.float().softmax(-1).double().cumsum(-1)  # (B, K)
    draw = uniform(streams, 1, device=logits.device, dtype=torch.float64) * sums[:, -1:]
    chosen = torch.searchsorted(sums, draw, right=True).squeeze(-1)  # (B,)
    return chosen.clamp(max=logits.shape[-1] - 1)
