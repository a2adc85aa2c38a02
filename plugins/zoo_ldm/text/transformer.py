"""Published text encoders: tokens to rows, through a transformer.

    x = embed(ids) + places;   x = x + attention(norm(x));   x = x + feed(norm(x));   rows = norm(x)
    feed(x) = W_2 f(W_1 x),   or gated   W_2 (v f(g)),   (v, g) = W_1 x

CLIP's text half (Radford et al., 2021, arXiv:2103.00020, section 2.4): a row has seen the tokens before it. The
transformer in CompVis' text-to-image model (Rombach et al., 2022, arXiv:2112.10752, section 4.3.1): a row has seen them
all, and a head's width is not width / heads. Both U-Nets attend to all L rows of a prompt,
[begin, w_1 ... w_n, end, pad, pad, ...], those of the pads too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import RequestError
from zoo.nn.text import Vocabulary
from zoo_ldm.prompts import Read, Span, weights_of


def quick_gelu(x: Tensor) -> Tensor:
    """X sigmoid(1.702 x), which is nearly x Phi(x) (Hendrycks and Gimpel, 2016, arXiv:1606.08415)."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "quick_gelu": quick_gelu,
    "gelu": F.gelu,
}


# The marks that begin, end and fill up a prompt, and where a vocabulary that has them is found.
CLIP = ("<|startoftext|>", "<|endoftext|>", "<|endoftext|>")
BERT = ("[CLS]", "[SEP]", "[PAD]")
_FILES = {  # by the mark that begins
    "<|startoftext|>": (
        "vocab.json and merges.txt, or tokenizer.json, beside the weights (CLIP's, for Stable Diffusion)"
    ),
    "[CLS]": (
        "vocab.txt, or tokenizer.json, beside the weights and their config.yaml (those of bert-base-uncased, for "
        "CompVis' text-to-image model)"
    ),
}


class Block(nn.Module):
    """x (B, L, D) -> (B, L, D): attention, then two layers at each position, both added.

    The arguments are those of `TextTransformer`. Raises ValueError for heads that do not fit.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        activation: str,
        eps: float,
        causal: bool,
        inner: int,
        bias: bool,
        gated: bool,
    ) -> None:
        super().__init__()
        if inner % heads:
            raise ValueError(f"width {inner} does not divide among {heads} heads")
        self.heads, self.function = heads, ACTIVATIONS[activation]
        self.causal, self.gated = causal, gated
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.qkv, self.out = nn.Linear(width, 3 * inner, bias=bias), nn.Linear(inner, width)
        self.up = nn.Linear(width, 2 * hidden if gated else hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, L, inner / heads) each
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        out: Tensor = x + self.down(self._active(self.up(self.norm2(x))))
        return out

    def _active(self, raised: Tensor) -> Tensor:
        if not self.gated:
            return self.function(raised)
        value, gate = raised.chunk(2, dim=-1)
        return value * self.function(gate)


class TextTransformer(nn.Module):
    """Tokens (B, L) int64 to rows (B, L, D).

    Args:
        size: how many tokens there are.
        length: L, the most of a prompt; its first is `begin` and its last `end`.
        width: D; `depth` blocks with `heads` heads, `inner` wide together (None: D), whose feed is `hidden` wide.
        activation: of ACTIVATIONS; `eps` of the norms.
        end: the token whose row stands for the whole prompt, None: the greatest of the prompt.
        vocabulary: the content of a tokenizer.json, if it came with the weights.
        marks: the tokens, of the vocabulary, that begin, end and fill up a prompt.
        causal: whether a row has seen the tokens before it alone, or all of them.
        bias: of queries, keys and values.
        gated: whether the feed has gates.

    Raises ValueError for what does not fit.
    """

    def __init__(
        self,
        size: int,
        length: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        activation: str = "quick_gelu",
        eps: float = 1e-5,
        end: int | None = None,
        vocabulary: Mapping[str, Any] | None = None,
        marks: Sequence[str] = CLIP,
        causal: bool = True,
        inner: int | None = None,
        bias: bool = True,
        gated: bool = False,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}; there are {sorted(ACTIVATIONS)}")
        self.length, self.width, self.end, self.marks = length, width, end, tuple(marks)
        self.vocabulary = None if vocabulary is None else Vocabulary(vocabulary, length - 2)
        if self.vocabulary is not None and self.vocabulary.size > size:
            raise ValueError(
                f"the vocabulary has {self.vocabulary.size} tokens, the encoder knows {size}: they do not belong "
                "together"
            )
        self.embed = nn.Embedding(size, width)
        self.places = nn.Parameter(torch.randn(length, width) * 0.02)
        self.blocks = nn.ModuleList(
            Block(width, heads, hidden, activation, eps, causal, inner or width, bias, gated)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=eps)

    def states(self, ids: Tensor) -> list[Tensor]:
        """What goes into each block, and what comes out of the last, (B, L, D) each."""
        if ids.shape[1] > self.length:
            raise ValueError(f"{ids.shape[1]} tokens; this encoder takes {self.length}")
        found = [self.embed(ids) + self.places[: ids.shape[1]]]
        for block in self.blocks:
            found.append(block(found[-1]))
        return found

    def forward(self, ids: Tensor, allowed: Tensor | None = None) -> Tensor:
        out: Tensor = self.norm(self.states(ids)[-1])
        return out

    def pooled(self, rows: Tensor, ids: Tensor) -> Tensor:
        """The row (B, D) of each prompt's end."""
        found = ids if self.end is None else (ids == self.end).int()
        return rows[torch.arange(len(rows), device=rows.device), found.argmax(1)]

    def read(self, texts: Sequence[tuple[str, Sequence[Span]]]) -> Read:
        """See `zoo_ldm.prompts.TextEncoder`; always L tokens, all of which may be seen."""
        if self.vocabulary is None:
            files = _FILES.get(self.marks[0], "tokenizer.json beside the weights")
            raise RequestError(
                f"This text encoder came without its vocabulary, so it cannot read a text: put {files}, and load again."
            )
        begin, end, pad = self._marked(self.vocabulary)
        ids = torch.full((len(texts), self.length), pad)
        weights = torch.ones(len(texts), self.length)
        for index, (plain, spans) in enumerate(texts):
            found = self.vocabulary.encode(plain)
            row = [begin, *found, end]
            ids[index, : len(row)] = torch.tensor(row)
            if spans:
                told = weights_of(self.vocabulary, plain, spans)
                weights[index, 1 : len(row) - 1] = torch.tensor(told)
        return Read(ids, None, weights)

    def _marked(self, vocabulary: Vocabulary) -> list[int]:
        found = []
        for mark in self.marks:
            number = vocabulary.encoder.token_to_id(mark)
            if number is None:
                raise RequestError(
                    f"The vocabulary of this text encoder lacks {mark!r}, with which prompts begin or end."
                )
            found.append(number)
        return found


def text_transformer(config: Mapping[str, Any]) -> TextTransformer:
    """The net of a configuration, `TextTransformer`'s arguments. Raises TypeError, ValueError for what does not fit."""
    return TextTransformer(**config)
