"""Batches of a set as a pure function of (seed, step): seekable, the same on every machine and number of processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from zoo import rng
from zoo.data.binarising import drawn
from zoo.errors import DataError


def _generator(seed: int, *what: object) -> Generator:
    digest = hashlib.sha256(repr((seed, *what)).encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def batches(
    dataset: Any,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    rank: int = 0,
    world: int = 1,
    flip: bool = False,
    binarise: bool = False,
) -> Iterator[dict[str, Any]]:
    """Endless batches from `start_step` on; each epoch is a new permutation, its last partial batch left out.

    Args:
        dataset: items are dicts with image uint8 (C, H, W), or with tokens int64 (h, w), and perhaps
            label and caption.
        batch_size: pictures a step over all processes.
        seed: of the order and the flips.
        start_step: the step of the first batch; batch n does not depend on where one starts.
        rank: this process, which takes every picture whose place in the batch is rank modulo world.
        world: how many processes there are; must divide batch_size.
        flip: mirror each picture left to right with probability 1/2.
        binarise: draw each pixel black or white by its brightness (`zoo.data.binarise`), anew every step.

    Yields:
        images (B / world, C, H, W) float32 in [-1, 1], or tokens (B / world, h, w) int64; labels
        (B / world,) int64, captions and the pictures `beside` them if there are any.

    Raises:
        DataError: fewer pictures than a batch, a batch that does not divide, tokens that were encoded
            without the mirrored pictures' and are to be flipped, or to be binarised.
    """
    if batch_size % world:
        raise DataError(
            f"A batch of {batch_size} pictures does not divide among {world} processes."
        )
    if len(dataset) < batch_size:
        raise DataError(
            f"The set {getattr(dataset, 'name', '')!r} has {len(dataset)} pictures, "
            f"fewer than a batch of {batch_size}. Take a smaller batch."
        )
    per_epoch = len(dataset) // batch_size
    step, epoch, order = start_step, -1, torch.empty(0, dtype=torch.int64)
    while True:
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            order = torch.randperm(len(dataset), generator=_generator(seed, "order", epoch))
        first = step % per_epoch * batch_size
        mirrored = torch.rand(batch_size, generator=_generator(seed, "flip", step)) < 0.5
        places = range(rank, batch_size, world)
        items = [dataset[int(order[first + place])] for place in places]
        flips = [flip and bool(mirrored[place]) for place in places]
        batch = collate(items, flips)
        if binarise:
            if "images" not in batch:
                raise DataError("Tokens cannot be binarised: encode binarised pictures instead.")
            streams = rng.streams(_generator(seed, "binarise", step), batch_size)[rank::world]
            batch["images"] = drawn(batch["images"], streams)
        yield batch
        step += 1


def collate(items: Sequence[dict[str, Any]], flips: Sequence[bool] | None = None) -> dict[str, Any]:
    """Items of a set to a batch: images (B, C, H, W) in [-1, 1] or tokens (B, h, w) int64.

    The other pictures, `beside` (B, C, H, W), labels and captions where all items have them.
    """
    flips = flips or [False] * len(items)
    kind = "tokens" if "tokens" in items[0] else "image"
    shapes = {tuple(item[kind].shape) for item in items}
    if len(shapes) > 1:
        raise DataError(
            f"Pictures of the shapes {sorted(shapes)} do not fit one batch. Open the set with `size`."
        )
    batch: dict[str, Any] = {}
    if kind == "tokens":
        chosen = [
            _mirrored(item) if flip else item["tokens"]
            for item, flip in zip(items, flips, strict=True)
        ]
        batch["tokens"] = torch.stack(chosen)
    else:
        batch["images"] = _pictures(items, "image", flips)
        if all("beside" in item for item in items):
            batch["beside"] = _pictures(items, "beside", flips)
    if all(item.get("label") is not None for item in items):
        batch["labels"] = torch.tensor([item["label"] for item in items])
    if all(item.get("caption") is not None for item in items):
        batch["captions"] = [item["caption"] for item in items]
    return batch


def _pictures(items: Sequence[dict[str, Any]], kind: str, flips: Sequence[bool]) -> Tensor:
    """(B, C, H, W) in [-1, 1]."""
    each: list[Tensor] = [
        item[kind].flip(-1) if flip else item[kind] for item, flip in zip(items, flips, strict=True)
    ]
    return torch.stack(each).float() / 127.5 - 1


def _mirrored(item: dict[str, Any]) -> Tensor:
    """The tokens (h, w) of the mirrored picture, which are not the mirrored tokens."""
    if "mirrored" not in item:
        raise DataError(
            "flip = true needs the tokens of the mirrored pictures, and this set was encoded "
            "without. Encode it with `zoo encode ... --flip`, or leave flip out of the recipe."
        )
    found: Tensor = item["mirrored"]
    return found
