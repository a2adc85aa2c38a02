"""A picture's tokens for training: as it is, mirrored, or moved by a few pixels, each a new sequence of the same thing.

A tokenizer gives a picture that moved by less than a cell quite other tokens, so views of a small set are new material.
What a picture says may change when it is mirrored: a caption's left and right are exchanged, and pictures whose caption
speaks of letters, numbers or the like are never mirrored. With `remember` a view is encoded once: the tokens of a
picture are a function of its pixels, so nothing of a run depends on what is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import RequestError
from zoo.train.objective import Batch

if TYPE_CHECKING:
    from zoo_dalle.net import DalleModel

WRITTEN = re.compile(
    r"\b(\d\w*|[a-z]|letters?|numbers?|digits?|button|symbols?|signs?|mark|abc|abcd|alphabet|text|word|clock|oclock|thirty"
    r"|arrows?|currency|dollar|euro|pound|yen|font|percent|code|latin|japanese|input|keycap|calendar|music|musical|medal"
    r"|clockwise|counterclockwise|east|west|soon|atm|wc|sos|vs|new|free|cool|back|end|play|forward|rewind|next|last)\b"
)
SIDES = {"left": "right", "right": "left", "leftwards": "rightwards", "rightwards": "leftwards"}


class Views:
    """Tokens and captions of the batches of a net."""

    def __init__(self, net: DalleModel, mirror: bool, move: int, remember: bool) -> None:
        self.net, self.mirror, self.move = net, mirror, move
        self.seen: dict[bytes, Tensor] | None = {} if remember else None

    def tokens(self, batch: Batch, playing: bool) -> tuple[Tensor, list[str] | None]:
        """(B, T) int64, and the captions that go with them; views only if `playing`, as it is otherwise."""
        captions = batch.get("captions")
        captions = None if captions is None else list(captions)
        device = self.net.weight.device
        if "tokens" in batch:
            if self.mirror or self.move:
                raise RequestError(
                    "[objective] mirror and move need pictures, and this set holds tokens: leave them out, and let "
                    "`zoo encode --shards` write the views that are wanted."
                )
            given: Tensor = batch["tokens"].to(device).flatten(1)
            self._fits(given)
            return given, captions
        images: Tensor = batch["images"]
        if playing and self.mirror:
            images, captions = self._mirrored(images, captions)
        if playing and self.move:
            images = torch.stack([moved(each, self.move) for each in images])
        return self._encoded(images).to(device), captions

    def _mirrored(
        self, images: Tensor, captions: list[str] | None
    ) -> tuple[Tensor, list[str] | None]:
        wanted = (torch.rand(len(images)) < 0.5).tolist()
        if captions is not None:
            wanted = [
                go and may_be_mirrored(each) for go, each in zip(wanted, captions, strict=True)
            ]
            captions = [
                mirrored(each) if go else each for go, each in zip(wanted, captions, strict=True)
            ]
        chosen = torch.tensor(wanted, device=images.device).view(-1, 1, 1, 1)
        return torch.where(chosen, images.flip(-1), images), captions

    def _encoded(self, images: Tensor) -> Tensor:
        if self.seen is None:
            return self.net.symbols(images)
        levels = ((images + 1) * 127.5).round().to(torch.uint8).cpu()
        keys = [blake2b(each.numpy().tobytes(), digest_size=16).digest() for each in levels]
        new = [index for index, key in enumerate(keys) if key not in self.seen]
        if new:
            found = self.net.symbols(images[new]).to("cpu", torch.int32)
            self.seen.update({keys[index]: row for index, row in zip(new, found, strict=True)})
        return torch.stack([self.seen[key] for key in keys]).long()

    def _fits(self, tokens: Tensor) -> None:
        """Raise RequestError for tokens that are not this net's."""
        high = int(tokens.max())
        if tokens.shape[1] != self.net.length or high >= self.net.codes:
            raise RequestError(
                f"the set's pictures are {tokens.shape[1]} tokens, up to {high}; the net draws "
                f"{self.net.length} tokens of {self.net.codes} codes. Encode the set with the net's own tokenizer."
            )


def may_be_mirrored(caption: str) -> bool:
    """Whether a picture of this caption shows the same thing in a mirror, left and right exchanged."""
    return WRITTEN.search(caption.lower().partition(": ")[2] or caption.lower()) is None


def mirrored(caption: str) -> str:
    """The caption of the picture in the mirror."""
    return " ".join(SIDES.get(word, word) for word in caption.split(" "))


def moved(image: Tensor, pixels: int) -> Tensor:
    """(C, H, W) moved, every other time, by `pixels` or not at all each way; its edge is drawn on."""
    draw: Sequence[int] = torch.randint(0, 6, (2,)).tolist()
    if draw[0] >= 3:
        return image
    down, right = (draw[0] - 1) * pixels, (draw[1] % 3 - 1) * pixels
    around = F.pad(image[None], (pixels,) * 4, mode="replicate")[0]
    height, width = image.shape[-2:]
    return around[:, pixels - down :, pixels - right :][:, :height, :width]
