"""Coding by a model of tokens: the tokens come back exactly, the pictures as the tokenizer decodes them.

    x -> t = encode(x) -> -log2 p(t | c) bits -> t -> decode(t), which is near x and seldom x

So an archive of this kind has the checksums of tokens, is made only where that was asked for, and says
that it was (Facts.lossy). Every token is coded, also of tiles that reach beyond a picture: what a token
stands for depends on pixels around it, so that none is known to both sides.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from zoo.codec.coder import able
from zoo.codec.intervals import Array
from zoo.codec.pictures import COLOURS, Picture
from zoo.errors import RequestError, listed

if TYPE_CHECKING:
    from zoo.card import Card


def asked_rightly(card: Card, lossy: bool) -> None:
    """Raise RequestError unless loss was asked for where there is one, and only there."""
    tokens = over_tokens(card)
    if tokens and not lossy:
        raise RequestError(
            f"{card.title} codes the tokens of pictures, not their pixels: the tokens come back exactly, the "
            f"pictures only as {tokenizer_of(card)} decodes them. If that loss is meant, say so: --lossy "
            f"(lossy=True). Models here that code pixels exactly: {listed(able())}."
        )
    if lossy and not tokens:
        raise RequestError(
            f"{card.title} codes pixels, so its archives are exact and nothing is lost; leave --lossy "
            "(lossy=True) out. It is for models whose log_prob is over tokens."
        )


def over_tokens(card: Card) -> bool:
    """Whether a model's probabilities are of tokens."""
    return card.log_prob is not None and card.log_prob.over == "tokens"


def tokenizer_of(card: Card) -> str:
    """What decodes the tokens, by name."""
    return card.parts.get("tokenizer", "its own decoder")


def digest(mode: str, size: tuple[int, int], tokens: Array) -> bytes:
    """16 bytes of a picture's mode, size and tokens (tiles, T)."""
    made = blake2b(f"{mode} {size} {tokens.shape} ".encode(), digest_size=16)
    made.update(np.ascontiguousarray(tokens, "<i8").tobytes())
    return made.digest()


def near(pixels: Array, mode: str, name: str) -> Picture:
    """What was decoded (C, H, W) as a picture of the mode it had.

    Colours of a grey picture are averaged, of a black and white one cut at the middle.
    """
    colours = COLOURS[mode]
    if colours > len(pixels):
        pixels = np.repeat(pixels, colours, 0)
    elif colours < len(pixels):
        pixels = pixels.mean(0, keepdims=True).round().astype(np.uint8)
    if mode == "1":
        pixels = np.where(pixels > 127, 255, 0).astype(np.uint8)
    return Picture(np.ascontiguousarray(pixels), mode, name)
