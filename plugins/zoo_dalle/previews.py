"""A picture while it grows: what is drawn so far, decoded, and grey where nothing is yet.

The tokenizer wants all tokens: places still to come hold the picture's last token, and the rows of pixels that belong
to them are painted over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from zoo.images import Images
from zoo.previews import Previews

if TYPE_CHECKING:
    from zoo_dalle.net import DalleModel


def show(previews: Previews, net: DalleModel, tokens: Tensor, place: int) -> None:
    """Give a preview if one is due after `place` tokens (n, T)."""
    rows, within = divmod(place, net.grid[1])
    if within or place == net.length or not previews.due(rows):
        return
    previews.show(partial(net, tokens, place), rows)


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
