"""A decoder-only transformer over one stream: a prefix of P positions, then an h x w picture in raster order.

A block is (pre-norm; Radford et al., "GPT-2", 2019), with what a `Shape` may add in brackets,

    x <- x + [scale] [norm] mix([shift] norm(x)),      x <- x + [scale] [norm] feed([shift] norm(x))

LayerScale (Touvron et al., 2021, arXiv:2103.17239), sandwich norm (Ding et al., "CogView", 2021, arXiv:2105.13290),
token shift (DALLE-pytorch, after RWKV: part of the channels come from the position before, above or to the left).
Reversible blocks run on two streams, the mean of which goes out (Gomez et al., 2017, arXiv:1707.04585; here for the
published weights that have them: memory in training is saved by `checkpoint`, for every shape alike):

    y_1 = x_1 + mix(x_2),   y_2 = x_2 + feed(y_1)

A stream that is extended by what is remembered gives what the pass over all of it gives:

    memory = transformer.memory(B);   extend(x[:, :n], memory), extend(x[:, n : n + 1], memory), ...   are   forward(x)

Letters: B streams, N = P + h w positions, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zoo_dalle import patterns, positions
from zoo_dalle.attention import Attention, Kept, Kernel, View
from zoo_dalle.block import Block
from zoo_dalle.feedforward import FeedForward, LargestOne, normalise
from zoo_dalle.flex import Flex
from zoo_dalle.memory import Memory
from zoo_dalle.shape import Shape
from zoo_dalle.stepping import Stepper

__all__ = ["Memory", "Shape", "Transformer"]


class Transformer(nn.Module):
    """Blocks and a last norm: the first n positions (B, n, C) to the same.

    `allowed` (B, P) bool are the prefix positions that may be looked at (a caption's padding may not); a position
    always sees itself.
    """

    rotation: tuple[Tensor, Tensor] | None

    def __init__(self, shape: Shape, prefix: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.shape, self.prefix, self.grid = shape, prefix, grid
        self.total = prefix + grid[0] * grid[1]
        self._kernels: dict[str, Kernel] = {}  # by pattern: zoo_dalle.flex
        attentions = {each: self._attention() for each in shape.attention_of}
        feeds = {each: self._feed() for each in shape.feed_of}
        self.blocks = nn.ModuleList(
            Block(shape, number, attentions[a], feeds[f])
            for number, (a, f) in enumerate(zip(shape.attention_of, shape.feed_of, strict=True))
        )
        self.divide = LargestOne() if shape.stable else None
        self.norm = normalise(shape.norm, shape.width, shape.eps) if shape.last_norm else None
        self.norm_again = (
            normalise(shape.norm, shape.width, shape.eps) if shape.norm_again else None
        )
        for name, like in self._made().items():
            self.register_buffer(name, torch.empty(like.shape, dtype=like.dtype), persistent=False)
        self.reset_buffers()
        for name, parameter in self.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 * (2 * shape.depth) ** -0.5)
            elif name.endswith(("qkv.weight", "up.weight")):
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith(("qkv.bias", "up.bias", "out.bias", "down.bias")):
                nn.init.zeros_(parameter)

    def reset_buffers(self) -> None:
        """Make masks and angles, after loading onto a net that was built on the meta device."""
        like = next(self.parameters())
        if like.is_meta:
            return
        for name, made in self._made().items():
            kind = like.dtype if made.is_floating_point() else made.dtype
            setattr(self, name, made.to(like.device, kind))
        self._near: dict[str, Sequence[Tensor]] = {}
        self._kernels.clear()

    def forward(self, x: Tensor, allowed: Tensor | None = None) -> Tensor:
        length = x.shape[1]
        views = {each: self._view(each, 0, length, allowed) for each in self.shape.patterns}
        both = (x, x)
        for block in self.blocks:
            block = cast(Block, block)
            args = (*both, views[block.pattern], self.shift)
            if self.shape.checkpoint and self.training and torch.is_grad_enabled():
                both = checkpoint(block, *args, use_reentrant=False)
            else:
                both = block(*args)
        return self._last(both)

    def memory(
        self, count: int, dtype: torch.dtype | None = None, allowed: Tensor | None = None
    ) -> Memory:
        """Room for what all layers keep of `count` streams; `allowed` as in `forward`."""
        like = next(self.parameters())
        kind = dtype or like.dtype
        area = self.grid[0] * self.grid[1]
        layers = []
        for block in self.blocks:
            attention, pattern = cast(Block, block).attention, cast(Block, block).pattern
            shape = [count, attention.kv_heads, self.total, attention.head]
            kept = Kept(like.new_zeros(0), like.new_zeros(0))
            if pattern != "full":
                shape[2] = area
                kept.image_keys = like.new_zeros(shape, dtype=kind)
                kept.image_values = like.new_zeros(shape, dtype=kind)
                shape[2] = self.prefix + max(len(each) for each in self.near(pattern))
            kept.keys = like.new_zeros(shape, dtype=kind)
            kept.values = like.new_zeros(shape, dtype=kind)
            if self.shape.shift:
                half = self.shape.width // 2
                kept.shifted = [
                    like.new_zeros(count, 1 + self.total, half, dtype=kind) for _ in range(2)
                ]
            layers.append(kept)
        if allowed is not None:
            allowed = torch.cat([allowed, allowed.new_ones(len(allowed), area)], 1)  # (B, N)
        return Memory(layers, self.prefix, allowed)

    def extend(self, x: Tensor, memory: Memory) -> Tensor:
        """The next n positions (B, n, C), by what `memory` holds of those before; it then holds these as well.

        Raises ValueError past the last position.
        """
        start, length = memory.count, x.shape[1]
        if start + length > self.total:
            raise ValueError(
                f"the stream has {self.total} positions; {start} are there and {length} more were given"
            )
        if length == 1 and start >= self.prefix:
            return self.stepper().step(x, memory)
        views = {
            each: self._view(each, start, length, memory.allowed) for each in self.shape.patterns
        }
        first, second = x, x
        for block, kept in zip(self.blocks, memory.layers, strict=True):
            block = cast(Block, block)
            seen = self.shift(block.norm_attention(second), start, kept, 0)
            mixed = block.attention.extend(seen, kept, start, self.prefix, views[block.pattern])
            first = first + block.after_attention(mixed)
            seen = self.shift(block.norm_feed(first), start, kept, 1)
            if self.shape.reversible:
                second = second + block.after_feed(block.feed(seen))
            else:
                first = second = first + block.after_feed(block.feed(seen))
        memory.count = start + length
        return self._last((first, second))

    def stepper(self, weights: str = "float") -> Stepper:
        """Positions one by one, with weights as `zoo_dalle.stepping` says."""
        return Stepper(self, weights)

    def near(self, pattern: str) -> Sequence[Tensor]:
        """For each position of the picture, those of the picture that a pattern lets it see, itself last."""
        if pattern not in self._near:
            with torch.inference_mode(False):  # they outlive whoever asks first
                mask = cast(Tensor, getattr(self, f"mask_{pattern}"))
                self._near[pattern] = patterns.neighbours(mask, self.prefix)
        return self._near[pattern]

    def _last(self, both: tuple[Tensor, Tensor]) -> Tensor:
        x = (both[0] + both[1]) / 2 if self.shape.reversible else both[0]
        if self.divide is not None:
            x = self.divide(x)
        for norm in self.norms():
            x = norm(x)
        return x

    def norms(self) -> list[nn.Module]:
        """Behind the last block."""
        return [each for each in (self.norm, self.norm_again) if each is not None]

    def shift(self, x: Tensor, start: int = 0, kept: Kept | None = None, half: int = 0) -> Tensor:
        """Token shift of positions `start` and on; see `positions.sources`."""
        if not self.shape.shift:
            return x
        stop, width = start + x.shape[1], self.shape.width
        if kept is None:
            seen = torch.nn.functional.pad(x[..., : width // 2], (0, 0, 1, 0))
        else:
            seen = kept.shifted[half]
            seen[:, start + 1 : stop + 1] = x[..., : width // 2]
        above = seen[:, cast(Tensor, self.above)[start:stop], : width // 4]
        left = seen[:, cast(Tensor, self.left)[start:stop], width // 4 :]
        return torch.cat([above.to(x.dtype), left.to(x.dtype), x[..., width // 2 :]], -1)

    def rotation_of(self, start: int, stop: int) -> tuple[Tensor, Tensor] | None:
        """Cosine and sine (n, d) of positions start ... stop - 1; None for a net that turns nothing."""
        if self.shape.rotary == "none":
            return None
        cosine, sine = cast(Tensor, self.cosine), cast(Tensor, self.sine)
        return cosine[start:stop], sine[start:stop]

    def _view(self, pattern: str, start: int, length: int, allowed: Tensor | None) -> View:
        stop = start + length
        rotation = self.rotation_of(start, stop)
        plain = (
            pattern == "full" or stop <= self.prefix
        ) and not self.shape.unmasked  # causal and no more
        if allowed is None and plain and start == 0:
            return View(None, True, rotation, None)
        whole = cast(Tensor, getattr(self, f"mask_{pattern}"))
        if allowed is None and start == 0 and self.shape.flex and whole.is_cuda:
            if pattern not in self._kernels:
                self._kernels[pattern] = Flex(whole)
            return View(None, False, rotation, self._kernels[pattern])
        mask = whole[start:stop, :stop]
        if allowed is not None:
            rest = allowed.new_ones(len(allowed), max(stop - allowed.shape[1], 0))
            may = torch.cat([allowed, rest], 1)[:, None, None, :stop]  # (B, 1, 1, S)
            places = torch.arange(stop, device=mask.device)
            mask = mask & (may | (places[start:, None] == places))
        return View(mask, False, rotation)

    def _made(self) -> dict[str, Tensor]:
        """Masks, angles and sources of the shift, on the CPU."""
        shape = self.shape
        with torch.device("cpu"):
            made = {
                f"mask_{each}": patterns.visible(
                    each, self.prefix, self.grid, shape.kernel, shape.block
                )
                for each in shape.patterns
            }
            for mask in list(made.values()) if shape.unmasked else ():
                mask[: shape.unmasked, : shape.unmasked] = True
            if shape.rotary != "none":
                made["cosine"], made["sine"] = positions.rotations(
                    shape.rotary, self.prefix, self.grid, shape.channels, shape.theta
                )
            if shape.shift:
                made["above"], made["left"] = positions.sources(self.prefix, self.grid)
        return made

    def _attention(self) -> Attention:
        shape = self.shape
        bias_qkv = shape.bias if shape.bias_qkv is None else shape.bias_qkv
        turn_values = shape.rotary == "dalle"
        return Attention(
            shape.width,
            shape.heads,
            shape.kv_heads or shape.heads,
            shape.channels,
            shape.bias,
            bias_qkv,
            turn_values,
            shape.dropout,
        )

    def _feed(self) -> FeedForward:
        shape = self.shape
        return FeedForward(shape.width, shape.hidden or 4 * shape.width, shape.feed, shape.bias)
