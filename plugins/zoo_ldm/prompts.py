"""What a prompt is to the net: L rows of D numbers, by an encoder that is trained with it or by the part `text`.

    rows = norm(blocks(embed([begin, w_1 ... w_n]) + places))        both ways; an empty prompt is `begin` alone

A piece of a prompt may be weighed, "a (red:1.3) apple": its rows r become e + 1.3 (r - e), e being the row of the empty
prompt at that place (its last, where it has none there).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import RequestError
from zoo.nn.text import Vocabulary

_WEIGHED = re.compile(r"\(([^():]+):([0-9]*\.?[0-9]+)\)")


@dataclass(frozen=True)
class Read:
    """Prompts as tokens: ids (B, L) int64, which of them are of the prompt (B, L) bool (None: all), weights (B, L)."""

    ids: Tensor
    allowed: Tensor | None
    weights: Tensor


class TextEncoder(Protocol):
    """A net that reads prompts."""

    width: int  # D

    def read(self, texts: Sequence[tuple[str, Sequence[Span]]]) -> Read:
        """Prompts, with the weights of their pieces, as tokens. Raises RequestError for what cannot be read."""
        ...

    def __call__(self, ids: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Tokens (B, L) to rows (B, L, D)."""
        ...


@dataclass(frozen=True)
class Span:
    """A piece of a prompt, characters `start` to `stop`, and its weight."""

    start: int
    stop: int
    weight: float


class Words(nn.Module):
    """A text encoder of the model's own: tokens (B, L + 1) to rows (B, L + 1, width), the first of them `begin`.

    vocabulary  the content of a tokenizer.json; length L, the most tokens of a prompt
    width       D; `depth` blocks with `heads` heads
    """

    def __init__(
        self, vocabulary: Mapping[str, Any], length: int, width: int, depth: int = 1, heads: int = 4
    ) -> None:
        super().__init__()
        self.vocabulary = Vocabulary(vocabulary, length)
        self.width = width
        self.begin = self.vocabulary.size
        self.embed = nn.Embedding(self.begin + 1, width)
        self.places = nn.Parameter(torch.randn(length + 1, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.embed.weight, std=0.5)

    def read(self, texts: Sequence[tuple[str, Sequence[Span]]]) -> Read:
        """See `TextEncoder`; as long as the longest prompt."""
        rows = [[self.begin, *self.vocabulary.encode(plain)] for plain, _ in texts]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.begin)
        weights = torch.ones(len(rows), longest)
        for index, (row, (plain, spans)) in enumerate(zip(rows, texts, strict=True)):
            ids[index, : len(row)] = torch.tensor(row)
            if spans:
                weights[index, 1 : len(row)] = torch.tensor(
                    weights_of(self.vocabulary, plain, spans)
                )
        lengths = torch.tensor([len(row) for row in rows])
        return Read(ids, torch.arange(longest) < lengths[:, None], weights)

    def forward(self, ids: Tensor, allowed: Tensor | None = None) -> Tensor:
        x = self.embed(ids) + self.places[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, allowed)
        out: Tensor = self.norm(x)
        return out


class Block(nn.Module):
    """x (B, L, C) and who may be seen (B, L) -> (B, L, C): attention, then two layers at each position, both added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} does not divide among {heads} heads")
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, allowed: Tensor | None) -> Tensor:
        qkv = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, L, C / heads) each
        mask = None if allowed is None else allowed[:, None, None]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        out: Tensor = x + self.down(F.silu(self.up(self.norm2(x))))
        return out


def pieces(text: str) -> tuple[str, list[Span]]:
    """A prompt without the signs of weights, and the pieces that are weighed.

    Raises RequestError for what is no text.
    """
    if not isinstance(text, str):
        raise RequestError(f"text is a sentence, or a list of one a picture; got {text!r}.")
    plain, spans, end = "", [], 0
    for found in _WEIGHED.finditer(text):
        plain += text[end : found.start()]
        spans.append(Span(len(plain), len(plain) + len(found[1]), float(found[2])))
        plain, end = plain + found[1], found.end()
    return plain + text[end:], spans


def weights_of(vocabulary: Vocabulary, plain: str, spans: Sequence[Span]) -> list[float]:
    """The weight of each token of a prompt: of the piece that it overlaps, or 1.

    Raises RequestError for a prompt with a word that was learned.
    """
    if any(word in plain for word in vocabulary.learned):
        raise RequestError(
            f"text = {plain!r}: pieces beside a word that was learned cannot be weighed."
        )
    return [
        next((s.weight for s in spans if s.start < stop and start < s.stop), 1.0)
        for start, stop in vocabulary.encoder.encode(plain, add_special_tokens=False).offsets
    ]


def rows(encoder: TextEncoder, texts: Sequence[str], like: Tensor) -> tuple[Tensor, Tensor | None]:
    """Prompts to rows (B, L, D), like `like`, and which of them may be seen (B, L); None: all."""
    read = encoder.read([pieces(each) for each in texts])
    device = next(iter(encoder.parameters())).device  # type: ignore[attr-defined]
    allowed = None if read.allowed is None else read.allowed.to(device)
    found = encoder(read.ids.to(device), allowed)
    if bool((read.weights != 1).any()):
        nothing = encoder.read([("", [])])
        empty = encoder(nothing.ids.to(device), None)  # (1, 1 .. L, D)
        missing = found.shape[1] - empty.shape[1]
        empty = torch.cat([empty, empty[:, -1:].expand(-1, missing, -1)], 1)
        found = empty + read.weights[:, :, None].to(found) * (found - empty)
    return found.to(like), None if allowed is None else allowed.to(like.device)
