"""A picture while it grows: what is drawn so far, decoded, and grey where nothing is yet.

The tokenizer wants all tokens: places still to come hold the picture's last token, and the rows of pixels that belong
to them are painted over.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from zoo.errors import RequestError
from zoo.images import Images

if TYPE_CHECKING:
    from zoo_dalle.net import DalleModel

Seen = Callable[[Images, int], object]  # pictures so far, rows of tokens that are drawn


@dataclass(frozen=True)
class Previews:
    """Every `rows` rows of tokens: written to the file `to` (over the one before), given to `seen`, or both."""

    rows: int = 0
    to: str | os.PathLike[str] | None = None
    seen: Seen | None = None

    def __post_init__(self) -> None:
        if self.rows < 0:
            raise RequestError(f"preview is every how many rows of tokens; got {self.rows}.")
        if (self.to is not None or self.seen is not None) and not self.rows:
            raise RequestError(
                "preview_to and on_preview need preview, every how many rows of tokens."
            )
        if self.rows and self.to is None and self.seen is None:
            raise RequestError(
                "preview needs somewhere to go: preview_to='growing.png', or on_preview=a function of pictures "
                "and rows."
            )

    def show(self, net: DalleModel, tokens: Tensor, place: int) -> None:
        """Give a preview if one is due after `place` tokens (n, T)."""
        width = net.grid[1]
        if not self.rows or place % (self.rows * width) or place == net.length:
            return
        pictures = partial(net, tokens, place)
        if self.to is not None:
            pictures.save(self.to)
        if self.seen is not None:
            self.seen(pictures, place // width)


def partial(net: DalleModel, tokens: Tensor, place: int) -> Images:
    """Pictures (n, C, H, W) of the first `place` tokens (n, T), whole rows of them; 0, grey, below."""
    if not place:
        raise ValueError("nothing is drawn yet")
    filled = tokens.clone()
    filled[:, place:] = tokens[:, place - 1 : place]
    pictures = net.pictures(filled).clamp(-1, 1)
    pictures = pictures.clone()
    pictures[:, :, pictures.shape[2] * (place // net.grid[1]) // net.grid[0] :] = 0
    return Images(pictures)
