"""What a transformer keeps of streams that grow: keys and values of every layer, for several pictures side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from zoo_dalle.attention import Kept


@dataclass
class Memory:
    """Of B streams, `count` positions; made by `Transformer.memory`, filled by `Transformer.extend`."""

    layers: list[Kept]
    prefix: int  # P
    allowed: Tensor | None = None  # (B, N) bool
    count: int = 0

    @property
    def streams(self) -> int:
        """B."""
        return len(self.layers[0].keys)

    def repeat(self, times: int) -> Memory:
        """For `times` pictures of each of these prompts, one after the other; the prompts' own part is there once.

        Raises ValueError before the prefix is complete, or after the picture has begun.
        """
        if times == 1:
            return self
        if self.count != self.prefix or any(each.prompt_keys is not None for each in self.layers):
            raise ValueError(
                f"a prompt is shared once, when its {self.prefix} positions are there and no more; "
                f"there are {self.count}"
            )
        layers = []
        for old in self.layers:
            layers.append(
                Kept(
                    _room(old.keys, times, self.prefix),
                    _room(old.values, times, self.prefix),
                    None if old.image_keys is None else _room(old.image_keys, times, 0),
                    None if old.image_values is None else _room(old.image_values, times, 0),
                    old.keys[:, :, : self.prefix].contiguous(),
                    old.values[:, :, : self.prefix].contiguous(),
                    [each.repeat_interleave(times, dim=0) for each in old.shifted],
                )
            )
        allowed = None if self.allowed is None else self.allowed.repeat_interleave(times, dim=0)
        return Memory(layers, self.prefix, allowed, self.count)

    def take(self, start: int, stop: int) -> Memory:
        """Streams start ... stop - 1 alone; they are copied.

        Raises ValueError where pictures that share a prompt would be parted.
        """
        return self._each(
            lambda tensor, groups: _between(tensor, groups, start, stop), stop - start
        )

    def join(self, other: Memory) -> Memory:
        """These streams and after them `other`'s, which have as many positions and share alike."""
        if (self.count, self.prefix) != (other.count, other.prefix):
            raise ValueError(
                f"these streams have {self.count} positions, the others {other.count}: they cannot go on together"
            )
        layers = [
            Kept(
                **{
                    name: torch.cat([tensor, theirs.tensors()[name]])
                    for name, tensor in mine.tensors().items()
                },
                shifted=[
                    torch.cat(both) for both in zip(mine.shifted, theirs.shifted, strict=True)
                ],
            )
            for mine, theirs in zip(self.layers, other.layers, strict=True)
        ]
        allowed, theirs = self.allowed, other.allowed  # None: all
        if allowed is not None or theirs is not None:
            like = cast(Tensor, theirs if allowed is None else allowed)
            masks = [
                torch.ones_like(like[:1]).expand(each.streams, -1)
                if each.allowed is None
                else each.allowed
                for each in (self, other)
            ]
            allowed = torch.cat(masks)
        return Memory(layers, self.prefix, allowed, self.count)

    def _each(self, change: Callable[[Tensor, int], Tensor], count: int) -> Memory:
        """Every tensor changed; `change` is told how many streams there are."""
        streams = self.streams
        layers = [
            Kept(
                **{name: change(each, streams) for name, each in kept.tensors().items()},
                shifted=[change(each, streams) for each in kept.shifted],
            )
            for kept in self.layers
        ]
        allowed = None if self.allowed is None else change(self.allowed, streams)
        if len(layers[0].keys) != count:
            raise ValueError(f"{count} streams were asked for, there are {streams}")
        return Memory(layers, self.prefix, allowed, self.count)


def _room(old: Tensor, times: int, without: int) -> Tensor:
    """Empty, for `times` as many streams, without the first positions."""
    count, heads, length, head = old.shape
    return old.new_zeros(count * times, heads, length - without, head)


def _between(tensor: Tensor, streams: int, start: int, stop: int) -> Tensor:
    """Rows of a tensor with one row a stream, or one for several."""
    times = streams // len(tensor)
    if start % times or stop % times:
        raise ValueError(f"{times} pictures share a prompt: {start} to {stop} would part them")
    return tensor[start // times : stop // times].clone()
