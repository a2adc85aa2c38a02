"""Which pictures are held out, for every model alike.

A pair of drawing style and concept is held out when the first byte of sha256("<set>:<name>") is below 13 (about 5 %),
a concept in all its styles when the first byte of sha256("<name>") is below 5 (about 2 %). Both are lower case, UTF-8.
"""

from __future__ import annotations

from hashlib import sha256

PAIR, CONCEPT = 13, 5  # of 256


def _first_byte(text: str) -> int:
    return sha256(text.lower().encode()).digest()[0]


def held_out(style: str, name: str) -> bool:
    """Whether the picture `name` of the set `style` is kept out of all training."""
    return _first_byte(f"{style}:{name}") < PAIR or _first_byte(name) < CONCEPT


RULE = (
    'test: first byte of sha256("<set>:<name>") < 13, or first byte of sha256("<name>") < 5; '
    "train: all others"
)
