"""One position at a time, by what is remembered, with little beside the products with the weights.

At a few pictures a step reads every weight once and computes next to nothing with it, so its floor is the time of that
reading, and what else is done in it counts: a module's call, a dropout that drops nothing, a scale apart from its sum.
`Stepper` does what `Transformer.forward` does for one more position, with each linear layer and norm as the bare
function that it is (a layer that something else was put in place of, an adapter say, is called as it stands).

With weights = "int8" the linear layers are read as 8 bits a weight, a quarter of the bytes (Dettmers et al., 2022,
arXiv:2208.07339), and what goes in is rounded to bfloat16,

    W x ~ diag(s) Q x,        s_o = max_i |W_oi| / 127,        Q whole, -127 ... 127

which wins where reading is what takes the time, at few pictures on a CPU, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import RequestError
from zoo_dalle.attention import Attention, Kept, apart
from zoo_dalle.memory import Memory
from zoo_dalle.positions import turn

if TYPE_CHECKING:
    from zoo_dalle.block import Block
    from zoo_dalle.transformer import Transformer

Function = Callable[[Tensor], Tensor]
WEIGHTS = ("float", "int8")
FEW = 8192  # numbers of a gelu that are bent by its formula


class Stepper:
    """The next position of streams of a transformer, again and again; made for one drawing, from the weights of then.

    Raises RequestError for `weights` that there are not, or not on this device.
    """

    def __init__(self, transformer: Transformer, weights: str = "float") -> None:
        if weights not in WEIGHTS:
            raise RequestError(f"weights = {weights!r}: there are {', '.join(WEIGHTS)}.")
        device = next(transformer.parameters()).device
        if weights == "int8" and device.type != "cpu":
            raise RequestError(
                f"weights = 'int8' computes on the CPU alone, and this model is on {device}: leave it out there."
            )
        self.transformer, self.weights = transformer, weights
        self.layers = [Layer(cast("Block", each), weights) for each in transformer.blocks]
        self.last = [straight(each) for each in transformer.norms()]

    def step(self, x: Tensor, memory: Memory) -> Tensor:
        """Position `memory.count`, of the picture, (B, 1, C) to the same; the memory then holds it as well.

        Raises ValueError before the picture or past its end.
        """
        net, start = self.transformer, memory.count
        if not net.prefix <= start < net.total:
            raise ValueError(
                f"the picture has the positions {net.prefix} to {net.total - 1} of the stream; {start} is none"
            )
        rotation, reversible = net.rotation_of(start, start + 1), net.shape.reversible
        allowed = None if memory.allowed is None else memory.allowed[:, None, None]
        place = start - net.prefix
        first = second = x
        for layer, kept in zip(self.layers, memory.layers, strict=True):
            seen = net.shift(layer.norm_attention(second), start, kept, 0)
            near = None if layer.pattern == "full" else net.near(layer.pattern)[place]
            mixed = layer.attend(seen, kept, place, net.prefix, near, rotation, allowed)
            first = layer.after_attention(first, mixed)
            seen = net.shift(layer.norm_feed(first), start, kept, 1)
            if reversible:
                second = layer.after_feed(second, layer.feed(seen))
            else:
                first = second = layer.after_feed(first, layer.feed(seen))
        memory.count = start + 1
        out = (first + second) / 2 if reversible else first
        if net.divide is not None:
            out = net.divide(out)
        for norm in self.last:
            out = norm(out)
        return out


class Layer:
    """What a block does at one position, as functions."""

    def __init__(self, block: Block, weights: str) -> None:
        self.pattern, self.attention = block.pattern, block.attention
        self.norm_attention, self.norm_feed = (
            straight(block.norm_attention),
            straight(block.norm_feed),
        )
        self.qkv, self.out = (
            straight(block.attention.qkv, weights),
            straight(block.attention.out, weights),
        )
        self.after_attention, self.after_feed = (
            added(block, "attention"),
            added(block, "feed"),
        )
        feed = block.feed
        self.up, self.down = straight(feed.up, weights), straight(feed.down, weights)
        self.gated, self.bend = feed.gated, gelu if feed.bend is F.gelu else feed.bend

    def feed(self, x: Tensor) -> Tensor:
        """What `FeedForward` says."""
        up = self.up(x)
        if not self.gated:
            return self.down(self.bend(up))
        value, gate = up.chunk(2, -1)
        return self.down(value * self.bend(gate))

    def attend(
        self,
        x: Tensor,
        kept: Kept,
        place: int,
        prefix: int,
        near: Tensor | None,
        rotation: tuple[Tensor, Tensor] | None,
        allowed: Tensor | None,
    ) -> Tensor:
        """Place `place` of the picture (B, 1, C); `near` are the places it sees, itself last; None: all.

        `allowed` (B, 1, 1, P + T): which keys may be looked at; None for all.
        """
        with_whom: Attention = self.attention
        heads, kinds, head = with_whom.heads, with_whom.kv_heads, with_whom.head
        batch = len(x)
        every = self.qkv(x).view(batch, -1, 1, head)
        if rotation is not None and with_whom.turn_values:
            every = turn(every, *rotation)
        q, k, v = torch.split(every, [heads, kinds, kinds], 1)
        if rotation is not None and not with_whom.turn_values:
            q, k = torch.split(turn(every[:, : heads + kinds], *rotation), [heads, kinds], 1)
        first = 0 if kept.prompt_keys is not None else prefix
        if near is None:
            last = first + place + 1
            kept.keys.narrow(2, last - 1, 1).copy_(k)
            kept.values.narrow(2, last - 1, 1).copy_(v)
        else:
            last = first + len(near)
            image_keys, image_values = (
                cast(Tensor, kept.image_keys),
                cast(Tensor, kept.image_values),
            )
            image_keys.narrow(2, place, 1).copy_(k)
            image_values.narrow(2, place, 1).copy_(v)
            kept.keys[:, :, first:last] = image_keys[:, :, near]
            kept.values[:, :, first:last] = image_values[:, :, near]
        keys, values = kept.keys.narrow(2, 0, last), kept.values.narrow(2, 0, last)
        if heads != kinds:
            q = q.reshape(batch, kinds, -1, head)  # queries of a group side by side
        if kept.prompt_keys is not None and kept.prompt_values is not None:
            mask = None if allowed is None else allowed[..., :prefix]
            mixed = apart(q, kept.prompt_keys, kept.prompt_values, keys, values, mask)
        else:
            mask = None if allowed is None else allowed[..., :last]
            mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
        return self.out(mixed.reshape(batch, 1, -1))


def gelu(x: Tensor) -> Tensor:
    """`F.gelu`, of few numbers by its formula, x/2 (1 + erf(x / sqrt 2)).

    What torch calls on a CPU is prepared anew each time, which takes longer than a few thousand numbers do.
    """
    if x.numel() > FEW or x.dtype != torch.float32 or not x.is_cpu:
        return F.gelu(x)
    half = x * 0.5
    return torch.addcmul(half, half, torch.erf(x * 0.5**0.5))


def added(block: Block, half: str) -> Callable[[Tensor, Tensor], Tensor]:
    """How the output of a block's attention or feed-forward is added to the stream; nothing is dropped out."""
    norm = straight(getattr(block, f"norm_{half}_out")) if block.sandwich else None
    scale = getattr(block, f"scale_{half}") if block.scaled else None

    def add(stream: Tensor, change: Tensor) -> Tensor:
        if norm is not None:
            change = norm(change)
        return stream + change if scale is None else torch.addcmul(stream, change, scale)

    return add


def straight(module: nn.Module, weights: str = "float") -> Function:
    """What a linear layer or a norm computes, as the function it is; any other module, or one with hooks, itself."""
    if module._forward_hooks or module._forward_pre_hooks:
        return module
    if type(module) is nn.Linear:
        return product(module.weight, module.bias, weights)
    if type(module) is nn.LayerNorm:
        return partial(
            torch.layer_norm,
            normalized_shape=module.normalized_shape,
            weight=module.weight,
            bias=module.bias,
            eps=module.eps,
        )
    if type(module) is nn.RMSNorm:
        return partial(
            F.rms_norm,
            normalized_shape=module.normalized_shape,
            weight=module.weight,
            eps=module.eps,
        )
    return module


def product(weight: Tensor, bias: Tensor | None, weights: str = "float") -> Function:
    """X (..., I) to W x + b (..., O), in float or through 8 bits."""
    if weights == "float":
        return partial(F.linear, weight=weight, bias=bias)
    return EightBits(weight, bias)


class EightBits:
    """W x + b with W (O, I) in 8 bits, read as the module's docstring says."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        found = weight.detach().float()
        scales = (found.abs().amax(1) / 127).clamp(min=torch.finfo(torch.bfloat16).tiny)
        scales = scales.bfloat16()  # first, so that Q makes up for its rounding
        cut = (found / scales.float()[:, None]).round().clamp(-127, 127)
        self.cut, self.scales, self.bias = cut.to(torch.int8), scales, bias

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, -2).bfloat16()
        out = torch._weight_int8pack_mm(rows, self.cut, self.scales).to(x.dtype)
        out = out.view(*x.shape[:-1], -1)
        return out if self.bias is None else out + self.bias
