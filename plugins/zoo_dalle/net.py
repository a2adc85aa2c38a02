"""The net: a prefix, then image tokens, in one causal stream.

    x = [begin, prefix_1 ... prefix_L, t_1 ... t_{T-1}]         embedded, with their places      (B, P + T - 1, C)
    h = transformer(x)
    p(t_k | prefix, t_<k) = softmax(logits(h_{P + k - 1}))      the last of the prefix predicts t_1

(Ramesh et al., 2021, arXiv:2102.12092; Esser et al., 2020, arXiv:2012.09841.) Letters: B pictures, P prefix positions,
T = h w image tokens in raster order, K codes, C channels. The tokenizer is a Model of its own, held beside the net: its
weights are no part of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import Unsupported
from zoo.nn.text import Vocabulary
from zoo_dalle import scoring
from zoo_dalle.across import Across
from zoo_dalle.asking import Asked, ids_of
from zoo_dalle.codes import CodebookCodes, LearnedCodes
from zoo_dalle.feedforward import GATED
from zoo_dalle.positions import Table
from zoo_dalle.stepping import Function, product
from zoo_dalle.stream import Given
from zoo_dalle.transformer import Shape, Transformer

if TYPE_CHECKING:
    from zoo.model import Model


class Parts:
    """Other models, held outside the net's own modules; a copy of the net shares them."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self.models = dict(models)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parts:
        return self


class DalleModel(nn.Module):
    """Everything of the family but the hooks; a `zoo.nn.coding.Autoregressive` over image tokens."""

    density = ("exact", "tokens")  # for the card
    roles = ("tokenizer",)  # which a published file may lack, and `zoo.compose` adds

    def __init__(
        self,
        shape: Shape,
        given: Given,
        image_codes: LearnedCodes | CodebookCodes,
        grid: tuple[int, int],
        codes: int,
        begin: bool,
        heads: str,
        head_bias: bool,
        parts: Mapping[str, Model],
    ) -> None:
        super().__init__()
        self.parts = Parts(parts)
        self.given, self.image_codes = given, image_codes
        self.grid, self.codes, self.shared = grid, codes, heads == "shared"
        self.prefix = int(begin) + given.length  # P
        self.length = grid[0] * grid[1]  # T
        self.begin = nn.Parameter(torch.randn(shape.width) * 0.02) if begin else None
        table = shape.positions != "none" and not shape.across  # that half has its own
        self.places = Table(shape.positions, self.prefix, grid, shape.width) if table else None
        self.transformer: Transformer | Across
        if shape.across:
            self.transformer = Across(shape, self.prefix, grid)
        else:
            self.transformer = Transformer(shape, self.prefix, grid)
        words = given.ids if given.predicts else 0
        self.text_head = (
            nn.Linear(shape.width, words, head_bias) if words and not self.shared else None
        )
        self.head = nn.Linear(shape.width, words + codes, head_bias) if self.shared else None

    def tunable(self) -> Mapping[str, Sequence[str]]:
        """What `zoo finetune` moves: the transformer's layers, and the words of a vocabulary."""
        words = isinstance(getattr(self.given, "vocabulary", None), Vocabulary)
        return {
            "lora": ("transformer.*",),
            "textual-inversion": ("given.embedding",) if words else (),
        }

    @property
    def alphabet(self) -> int:
        """K."""
        return self.codes

    @property
    def classes(self) -> int:
        """How many labels there are, 0 for a net without."""
        return int(getattr(self.given, "classes", 0))

    @property
    def weight(self) -> Tensor:
        """A parameter, for dtype and device."""
        return next(self.transformer.parameters())

    @property
    def tokenizer(self) -> Model:
        """The part that makes tokens of pictures. Raises Unsupported without one."""
        if "tokenizer" not in self.parts.models:
            raise Unsupported(
                "this model was loaded without a tokenizer, so it knows tokens alone and no pictures: "
                "zoo.compose(MODEL, tokenizer=NAME), or `parts: {tokenizer: NAME@VERSION}` in its card."
            )
        return self.parts.models["tokenizer"]

    def blocks(self) -> list[nn.Module]:
        """What `zoo.train.parallel` cuts and computes again one by one; none where blocks share weights."""
        shape = self.transformer.shape
        apart = len(set(shape.attention_of)) == len(set(shape.feed_of)) == shape.depth
        return list(self.transformer.blocks) if apart else []

    def tensor_plan(self) -> Mapping[str, str]:
        """Layers of a block that `zoo.train.parallel` cuts over processes.

        `qkv` has queries above keys above values and a gated `up` values above gates, so that the halves of their
        outputs are put together again; only a gelu's inner width stays cut from `up` to `down`.
        """
        if self.transformer.shape.across:
            return {}
        gated = self.transformer.shape.feed in GATED
        styles = {
            "attention.qkv": "gather",
            "attention.out": "gather",
            "feed.up": "gather" if gated else "column",
            "feed.down": "gather" if gated else "row",
        }
        return {
            f"transformer.blocks.{number}.{name}": style
            for number in range(len(self.blocks()))
            for name, style in styles.items()
        }

    def embed_prefix(self, cond: Asked | None, batch: int | None = None) -> Tensor:
        """The first P positions (B, P, C), places included. `batch` is needed where nothing was asked."""
        ids = ids_of(self, cond, batch)
        x = self.given.embed(ids).to(self.weight)
        if self.begin is not None:
            first = self.begin.expand(len(x), 1, -1)
            x = torch.cat([x, first] if self.transformer.shape.across else [first, x], 1)
        return x if self.places is None else x + self.places(0, self.prefix)

    def embed_tokens(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Image tokens (B, n), of which the first is number `start` of the picture, to (B, n, C), places included."""
        x = self.image_codes.embed(tokens)
        if self.places is None:
            return x
        out: Tensor = x + self.places(self.prefix + start, tokens.shape[1])
        return out

    def image_logits(self, hidden: Tensor) -> Tensor:
        """What comes next in the picture: (B, n, C) to (B, n, K)."""
        return self.reader()(hidden)

    def reader(self, weights: str = "float") -> Function:
        """`image_logits` as a function, with weights as `zoo_dalle.stepping` says."""
        if self.head is None:
            return self.image_codes.reader(weights)
        if type(self.head) is not nn.Linear:  # an adapter
            head = self.head
            return lambda hidden: head(hidden)[..., -self.codes :]
        bias = None if self.head.bias is None else self.head.bias[-self.codes :]
        return product(self.head.weight[-self.codes :], bias, weights)

    def image_losses(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """-log p (B, n) of tokens (B, n) by what was known before each, `hidden` (B, n, C)."""
        flat, wanted = hidden.flatten(0, 1), tokens.flatten()
        if self.head is not None:
            losses = F.cross_entropy(self.image_logits(flat), wanted, reduction="none")
        else:
            losses = self.image_codes.losses(flat, wanted)
        return losses.view_as(tokens)

    def text_logits(self, hidden: Tensor) -> Tensor:
        """What comes next in the prefix: (B, n, C) to (B, n, ids). Raises Unsupported where it predicts none."""
        head = self.head or self.text_head
        if head is None or not self.given.predicts:
            raise Unsupported(
                "this model has no distribution of its prefix, only of pictures given it."
            )
        out: Tensor = head(hidden)[..., : self.given.ids]
        return out

    def hidden(self, tokens: Tensor, cond: Asked | None, blank: Tensor | None = None) -> Tensor:
        """What the net knows before each token, by teacher forcing: tokens (B, T) to (B, P + T - 1, C).

        Position P + k - 1 has seen the prefix and the first k tokens. `blank` (B, T - 1) bool marks tokens that are
        fed as places without content (a regulariser of training).
        """
        x = self.embed_prefix(cond, len(tokens))
        image = self.embed_tokens(tokens[:, :-1])
        if blank is not None:
            content = image if self.places is None else self.places(self.prefix, image.shape[1])
            void = torch.zeros_like(image) if self.places is None else content.expand_as(image)
            image = torch.where(blank[..., None], void, image)
        allowed = None if cond is None else cond.allowed
        out: Tensor = self.transformer(torch.cat([x, image], 1), allowed)
        return out

    def logits(self, tokens: Tensor, cond: Asked | None) -> Tensor:
        """(B, T) to the logits of each token given those before it (B, T, K)."""
        return self.image_logits(self.hidden(tokens, cond)[:, self.prefix - 1 :])

    def symbols(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] to tokens (B, T) int64, by the tokenizer."""
        return tokens_of(self.tokenizer, images, self.weight.device).flatten(1)

    def pictures(self, symbols: Tensor) -> Tensor:
        """Tokens (B, T) to (B, C, H, W) in [-1, 1], by the tokenizer."""
        decoded = self.tokenizer.decode(symbols.view(-1, *self.grid)).tensor
        return decoded.to(self.weight)

    def tables(self, symbols: Tensor, cond: Asked | None) -> Tensor:
        """p(t_k | t_<k, prefix) (B, T, K); each row sums to 1."""
        return scoring.log_tables(self, symbols, cond).exp()

    def log_likelihood(self, symbols: Tensor, cond: Asked | None) -> Tensor:
        """Log P (B,) in nats of tokens (B, T) given the condition."""
        return scoring.log_prob(self, symbols, cond)

    def log_prob_of_request(self, cond: Asked | None) -> Tensor:
        """Log P (B,) in nats of the prefix that was asked for, a text or another picture's tokens."""
        return scoring.log_prob_of_prefix(self, cond)

    def walk(self, count: int, cond: Asked | None) -> scoring.Walk:
        """The same one token at a time, with what was computed remembered."""
        return scoring.Walk(self, count, cond)


def tokens_of(tokenizer: Model, images: Tensor, device: torch.device) -> Tensor:
    """(B, C, H, W) to (B, h, w) int64 on `device`; the tokenizer goes there and computes in its own precision."""
    if tokenizer.device != device:
        tokenizer.to(device)
    with torch.autocast(device.type, enabled=False), torch.no_grad():
        mode = tokenizer.net.training
        found = tokenizer.encode(images.float())
        tokenizer.net.train(mode)
    return found
