"""What training minimises: the weighted mean of the two halves of the stream, by teacher forcing.

    loss = (w_text CE_text + w_image CE_image) / (w_text + w_image)        Ramesh et al., 2021, arXiv:2102.12092, 2.2

both cross entropies in nats a token. Against learning a small set by heart: the condition is left out with probability
`null` (what guidance needs; Ho & Salimans, 2022, arXiv:2207.12598), tokens are fed as blank places with probability
`blank` (what comes next must then be told from the text and from farther off), and pictures are drawn mirrored and
moved (zoo.train.views). A net that draws from another picture has it `beside` each in the data ([data] beside =
"depth": NAME.depth.png), or learns from pictures alone where `annotate` says what the other is made of them by, their
edges or regions of colour (zoo.annotate). A batch that comes with `tokens` (a token
set) is used as it is: no tokenizer runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo import options
from zoo.errors import RequestError
from zoo.train.objective import Batch, Objective
from zoo_dalle.asking import Asked
from zoo_dalle.net import DalleModel, tokens_of
from zoo_dalle.reading import Read
from zoo_dalle.scoring import text_losses
from zoo_dalle.stream import Classes, Features, Picture, Words
from zoo_dalle.views import Views

Hints = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Weights:
    """The recipe's [objective] table."""

    text_weight: float = 0.0  # w_text; DALL-E: 1
    image_weight: float = 1.0  # w_image; DALL-E: 7
    null: float = 0.0  # probability of leaving the condition out; needs `null: true` in the config
    blank: float = 0.0  # probability of a token that is fed as a place without content
    mirror: bool = False  # pictures mirrored with probability 1/2 where their caption allows it
    move: int = 0  # pixels by which a picture is moved, up, down, left or right, every other time
    remember: bool = False  # keep the tokens of pictures that were met before, in memory
    annotate: str = ""  # what the other picture is made by of each: zoo.annotate's "semantic", "edges", "sketch", "hed"

    def __post_init__(self) -> None:
        """Raise RequestError for values out of range."""
        for name in ("null", "blank"):
            if not 0 <= getattr(self, name) < 1:
                raise RequestError(f"[objective] {name} = {getattr(self, name)} must be in [0, 1).")
        if (
            self.text_weight < 0
            or self.image_weight < 0
            or not self.text_weight + self.image_weight
        ):
            raise RequestError(
                f"[objective] text_weight = {self.text_weight} and image_weight = {self.image_weight} must not be "
                "negative, and not both 0."
            )


def objectives(net: DalleModel, table: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective. Raises RequestError for a table that does not fit the net."""
    weights = options.settings(Weights, table, "[objective] of a DALL-E")
    if weights.null and not net.given.null:
        raise RequestError(
            f"[objective] null = {weights.null} leaves the condition out, but the net has nothing for it: put "
            "`null: true` into its config."
        )
    if weights.text_weight and not net.given.predicts:
        raise RequestError(
            f"[objective] text_weight = {weights.text_weight}: this net does not predict its prefix "
            f"({net.given.asks or 'nothing'}); only a text of its own vocabulary or another picture's tokens can be."
        )
    if isinstance(net.given, Picture) and (weights.mirror or weights.move):
        raise RequestError(
            "[objective] mirror and move change a picture and not the other one it is drawn from: leave them out "
            "([data] flip mirrors both)."
        )
    made = hints(net, weights)
    views = Views(net, weights.mirror, weights.move, weights.remember)

    def likelihood(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        playing = torch.is_grad_enabled()
        tokens, captions = views.tokens(batch, playing)
        ids = given(net, batch, captions, len(tokens), made)
        if playing and weights.null:
            absent = torch.rand(len(ids), device=ids.device) < weights.null
            nothing = net.given.nothing(len(ids)).to(ids)
            ids = torch.where(absent.view(-1, *(1,) * (ids.ndim - 1)), nothing, ids)
        blank = None
        if playing and weights.blank:
            shape = (len(tokens), net.length - 1)
            blank = torch.rand(shape, device=tokens.device) < weights.blank
        hidden = net.hidden(tokens, Asked(ids), blank)
        image = net.image_losses(hidden[:, net.prefix - 1 :], tokens).mean()
        terms: dict[str, Tensor | float] = {"image": image.detach()}
        total = weights.image_weight * image
        if weights.text_weight:
            text = prefix_loss(net, hidden, ids)
            terms["text"] = text.detach()
            total = total + weights.text_weight * text
        return total / (weights.text_weight + weights.image_weight), terms

    trained = [each for each in net.parameters() if each.requires_grad]
    return [Objective("likelihood", trained, likelihood, preview=preview(net, views, made))]


def hints(net: DalleModel, weights: Weights) -> Hints | None:
    """How the tokens (B, h', w') of the other picture are made of pictures; None where they are not.

    Raises RequestError for a net, or an annotator, that does not fit.
    """
    if not weights.annotate:
        return None
    from zoo.annotate import KINDS, annotate

    kind = net.given
    part = net.parts.models.get(kind.part) if isinstance(kind, Picture) else None
    if part is None:
        raise RequestError(
            f"[objective] annotate = {weights.annotate!r} makes another picture's tokens, and this net has no part for "
            "them: `picture: {codes, grid, part: ROLE}` in its config, and the part ROLE."
        )
    known = [each for each in KINDS if each != "pose"]
    if weights.annotate not in known:
        raise RequestError(
            f"[objective] annotate = {weights.annotate!r}: there are {', '.join(known)}."
        )

    def tokens(images: Tensor) -> Tensor:
        found = annotate(weights.annotate, images.clamp(-1, 1)).tensor
        return tokens_of(part, found.expand(-1, images.shape[1], -1, -1), net.weight.device)

    return tokens


def given(
    net: DalleModel,
    batch: Batch,
    captions: Sequence[str] | None,
    count: int,
    made: Hints | None = None,
) -> Tensor:
    """The prefix (B, L) ids or (B, L, D) features of a batch; another picture's tokens are in it, or `made`.

    Raises RequestError where the data lack it.
    """
    kind, device = net.given, net.weight.device
    if isinstance(kind, Words | Read | Features) and captions is None:
        raise RequestError("this net is trained on texts, and the pictures have no captions.")
    if isinstance(kind, Words | Read):
        return torch.tensor(
            [kind.vocabulary.padded(each) for each in captions or ()], device=device
        )
    if isinstance(kind, Features):
        return kind.encoder.encode(captions or ()).to(net.weight)
    if isinstance(kind, Classes):
        if "labels" not in batch:
            raise RequestError(f"the net has {kind.classes} classes and the pictures no labels.")
        labels: Tensor = batch["labels"].to(device)
        if int(labels.max()) >= kind.classes:
            raise RequestError(
                f"the net has the classes 0 .. {kind.classes - 1}; a picture has the label {int(labels.max())}."
            )
        return labels[:, None]
    if isinstance(kind, Picture):
        return other_tokens(net, kind, batch, made).flatten(1)
    return kind.nothing(count).to(device)


def other_tokens(net: DalleModel, kind: Picture, batch: Batch, made: Hints | None) -> Tensor:
    """The tokens (B, h', w') of the pictures that those of a batch are drawn from. Raises RequestError without any."""
    if "prefix_tokens" in batch:
        found: Tensor = batch["prefix_tokens"].to(net.weight.device)
        return found
    part = net.parts.models.get(kind.part)
    if "beside" in batch and part is not None:
        return tokens_of(part, batch["beside"], net.weight.device)
    if made is not None and "images" in batch:
        return made(batch["images"])
    raise RequestError(
        "the net draws from another picture's tokens: the data must have `prefix_tokens` (h, w) for each; or, where "
        "the config's `picture` names a part that makes them, a picture beside each ([data] beside = 'depth': "
        "NAME.depth.png), or pictures alone, of which [objective] annotate = 'semantic' (or 'edges', ...) makes it."
    )


def prefix_loss(net: DalleModel, hidden: Tensor, ids: Tensor) -> Tensor:
    """Mean -log p () of the prefix's ids, those after the first pad left out; `hidden` (B, N, C) is the stream's."""
    losses = text_losses(net, hidden[:, : net.prefix - 1], ids)
    return losses.sum() / (losses != 0).sum().clamp(min=1)


def preview(
    net: DalleModel, views: Views, made: Hints | None = None
) -> Callable[[Batch], Tensor] | None:
    """Pictures of a batch over pictures drawn for the same condition."""

    def drawn(batch: Batch) -> Tensor:
        tokens, captions = views.tokens(batch, playing=False)
        cond = Asked(given(net, batch, captions, len(tokens), made))
        walk, chosen = net.walk(len(tokens), cond), []
        for _ in range(net.length):
            chosen.append(torch.multinomial(walk.probabilities().float(), 1).squeeze(1))
            walk.push(chosen[-1])
        images: Tensor = net.pictures(torch.cat([tokens, torch.stack(chosen, 1)]))
        return images

    return drawn if "tokenizer" in net.parts.models else None
