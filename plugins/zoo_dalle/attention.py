"""Attention of a position to those its pattern lets it see, with what was seen remembered.

    mix(x)_t = W_o sum_{s seen by t} softmax_s(q_t . k_s / sqrt(d)) v_s        (Vaswani et al., 2017, arXiv:1706.03762)

on `heads` heads of d channels; with fewer heads of keys and values each serves heads / kv_heads of queries (grouped
queries; Ainslie et al., 2023, arXiv:2305.13245). `qkv` holds W_q above W_k above W_v: one product instead of three.

What is kept of a layer (`Kept`): full attention keeps all keys and values in one piece, [prefix | picture]. A sparse
layer keeps the picture's aside and lays what a position sees of them behind the prefix's, so that a step
(`zoo_dalle.stepping`) reads the prefix and its few neighbours and nothing else. Where several pictures grow from one
prompt, the prompt's keys and values are there once, and all its pictures' queries meet them in one product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_dalle.positions import turn

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]  # (q, k, v) to the mixture: FlexAttention


@dataclass
class View:
    """What n positions are and see, the same for all layers of one pattern."""

    mask: Tensor | None = None  # (n, S) or (B, 1, n, S) bool; None: all that is given, or causal
    causal: bool = False
    rotation: tuple[Tensor, Tensor] | None = None  # cosine and sine (n, d)
    kernel: Kernel | None = None


@dataclass
class Kept:
    """What one layer keeps of the positions so far."""

    keys: Tensor  # (B, kv_heads, S, d): [prefix | picture], [prefix | neighbours], or without the prefix
    values: Tensor
    image_keys: Tensor | None = None  # (B, kv_heads, T, d) of a sparse layer
    image_values: Tensor | None = None
    prompt_keys: Tensor | None = None  # (G, kv_heads, P, d) where B / G pictures share a prefix
    prompt_values: Tensor | None = None
    shifted: list[Tensor] = field(default_factory=list)  # (B, 1 + N, C / 2) each: for token shift

    def tensors(self) -> dict[str, Tensor]:
        """Those that are there, by name; without `shifted`."""
        return {
            name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)
        }


class Attention(nn.Module):
    """(B, n, C) to the same."""

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int,
        head: int,
        bias: bool = True,
        bias_qkv: bool = True,
        turn_values: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head = heads, kv_heads, head
        self.turn_values, self.dropout = turn_values, dropout
        self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * head, bias_qkv)
        self.out = nn.Linear(heads * head, width, bias)

    def forward(self, x: Tensor, view: View) -> Tensor:
        q, k, v = self.project(x, view)
        if view.kernel is not None:
            mixed = view.kernel(q, k, v)
        else:
            mixed = self.mix(q, k, v, view.mask, view.causal)
        return self.finish(mixed)

    def project(self, x: Tensor, view: View) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, heads, n, d), keys and values (B, kv_heads, n, d), turned."""
        count, length = x.shape[:2]
        every = self.qkv(x).view(count, length, -1, self.head).transpose(1, 2)
        turned = self.heads + (2 if self.turn_values else 1) * self.kv_heads
        if view.rotation is not None:
            moved = turn(every[:, :turned], *view.rotation)
            every = moved if self.turn_values else torch.cat([moved, every[:, turned:]], 1)
        q, k, v = every.split([self.heads, self.kv_heads, self.kv_heads], dim=1)
        return q, k, v

    def mix(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """Softmax attention: (B, heads, n, d)."""
        return F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            is_causal=causal,
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=self.heads != self.kv_heads,
        )

    def finish(self, mixed: Tensor) -> Tensor:
        """(B, heads, n, d) to (B, n, C)."""
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def extend(self, x: Tensor, kept: Kept, start: int, prefix: int, view: View) -> Tensor:
        """Positions `start` and on (B, n, C), by what is kept of those before; they are kept as well."""
        q, k, v = self.project(x, view)
        keys, values = write(kept, k, v, start, prefix)
        return self.finish(self.mix(q, keys, values, view.mask, view.causal))


def write(kept: Kept, k: Tensor, v: Tensor, start: int, prefix: int) -> tuple[Tensor, Tensor]:
    """Keep keys and values of n positions from `start` on; those of all positions so far, [prefix | picture]."""
    stop = start + k.shape[2]
    found = []
    for whole, image, prompt, new in (
        (kept.keys, kept.image_keys, kept.prompt_keys, k),
        (kept.values, kept.image_values, kept.prompt_values, v),
    ):
        if prompt is None and image is None:
            whole[:, :, start:stop] = new
            found.append(whole[:, :, :stop])
            continue
        begin = max(prefix - start, 0)  # of the new ones, so many are the prefix's
        if begin:
            whole[:, :, start : min(stop, prefix)] = new[:, :, :begin]
        rest = whole if image is None else image
        if stop > prefix:
            rest[:, :, start + begin - prefix : stop - prefix] = new[:, :, begin:]
        head = whole[:, :, : min(stop, prefix)]
        if prompt is not None:
            head = prompt.repeat_interleave(len(new) // len(prompt), dim=0)
        found.append(torch.cat([head, rest[:, :, : max(stop - prefix, 0)]], 2))
    return found[0], found[1]


def apart(
    q: Tensor,
    prompt_keys: Tensor,
    prompt_values: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
) -> Tensor:
    """Attention to a prompt that B / G pictures share and to each picture's own keys: one softmax, two sources.

    `q` (B, kv_heads, g, d), prompts (G, kv_heads, P, d), own (B, kv_heads, m, d), mask (B, 1, 1, P): as `q`.
    """
    (groups, kinds, length, head), each = prompt_keys.shape, q.shape[2]
    times = len(q) // groups
    q = q * head**-0.5
    together = q.view(groups, times, kinds, each, head).transpose(1, 2).flatten(2, 3)
    scores = together @ prompt_keys.transpose(-1, -2)  # (G, kv_heads, times g, P)
    scores = scores.view(groups, kinds, times, each, length).transpose(1, 2).flatten(0, 1)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = torch.cat([scores, q @ keys.transpose(-1, -2)], -1).softmax(-1)
    shared = weights[..., :length].reshape(groups, times, kinds, each, length)
    mixed = shared.transpose(1, 2).flatten(2, 3) @ prompt_values
    mixed = mixed.view(groups, kinds, times, each, head).transpose(1, 2).flatten(0, 1)
    out: Tensor = mixed + weights[..., length:] @ values
    return out
