"""Views of training pictures, and what a frozen part makes of them: as they are, mirrored, or moved by a few pixels.

A tokenizer gives a picture that moved by less than a cell quite other tokens, an autoencoder other latents, so views of
a small set are new material. What a picture says may change when it is mirrored: a caption's left and right are
exchanged, and pictures whose caption speaks of letters, numbers or the like are never mirrored. With `remember` a view
is encoded once: what a part makes of a picture is a function of its pixels, so nothing of a run depends on what is
remembered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b

import torch
from torch import Tensor
from torch.nn import functional as F

WRITTEN = re.compile(
    r"\b(\d\w*|[a-z]|letters?|numbers?|digits?|button|symbols?|signs?|mark|abc|abcd|alphabet|text|word|clock|oclock|thirty"
    r"|arrows?|currency|dollar|euro|pound|yen|font|percent|code|latin|japanese|input|keycap|calendar|music|musical|medal"
    r"|clockwise|counterclockwise|east|west|soon|atm|wc|sos|vs|new|free|cool|back|end|play|forward|rewind|next|last)\b"
)
SIDES = {"left": "right", "right": "left", "leftwards": "rightwards", "rightwards": "leftwards"}


class Views:
    """What `encode`, (B, C, H, W) -> (B, ...), makes of views of pictures.

    Args:
        encode: the part.
        mirror: whether pictures are mirrored with probability 1/2, where their caption allows it.
        move: pixels by which a picture is moved, up, down, left or right, every other time.
        stored: the type in which what was met before is kept, in memory; None: nothing is.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Tensor],
        mirror: bool,
        move: int,
        stored: torch.dtype | None,
    ) -> None:
        self.encode, self.mirror, self.move, self.stored = encode, mirror, move, stored
        self.seen: dict[bytes, Tensor] = {}

    def of(
        self, images: Tensor, captions: Sequence[str] | None, playing: bool
    ) -> tuple[Tensor, list[str] | None]:
        """What is made of pictures, and their captions; views only if `playing`, as they are otherwise."""
        told = None if captions is None else list(captions)
        if playing and self.mirror:
            images, told = self._mirrored(images, told)
        if playing and self.move:
            images = torch.stack([moved(each, self.move) for each in images])
        return self._encoded(images), told

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
        if self.stored is None:
            return self.encode(images)
        levels = ((images + 1) * 127.5).round().to(torch.uint8).cpu()
        keys = [blake2b(each.numpy().tobytes(), digest_size=16).digest() for each in levels]
        new = [index for index, key in enumerate(keys) if key not in self.seen]
        if new:
            found = self.encode(images[new]).to("cpu", self.stored)
            self.seen.update({keys[index]: row for index, row in zip(new, found, strict=True)})
        return torch.stack([self.seen[key] for key in keys]).to(images.device)


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
