"""The picture of a card as part of the page: WebP in a data URL."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import NamedTuple

from zoo.card import Card

WIDEST = 1040  # pixels; the page shows no more


class Picture(NamedTuple):
    """What an <img> needs."""

    source: str  # data:image/webp;base64,...
    width: int
    height: int
    file: str


def inlined(card: Card, folder: Path) -> tuple[Picture | None, str | None]:
    """The picture that shows the card's model; and what is wrong with it, if anything is.

    A card without a picture has neither.
    """
    name = card.picture
    if name is None:
        return None, None
    from PIL import Image

    try:
        with Image.open(folder / name) as opened:
            shown = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        return None, f"{name} cannot be shown: {error}."
    shown.thumbnail((WIDEST, 2 * WIDEST))
    file = io.BytesIO()
    shown.save(file, "WEBP", quality=88, method=4)
    text = base64.b64encode(file.getvalue()).decode()
    return Picture(f"data:image/webp;base64,{text}", *shown.size, name), None
