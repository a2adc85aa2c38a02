"""Pictures to one archive and back: `pack` and `unpack`, and the short `compress`, `decompress`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zoo.codec import autoregressive, bitsback, tokens
from zoo.codec.claims import bearable, holdable, numbers
from zoo.codec.coder import AUTOREGRESSIVE, LATENT, Coder, request_text
from zoo.codec.intervals import Array
from zoo.codec.maker import coder_of, weights_of
from zoo.codec.pictures import Picture, images_of, pictures_of
from zoo.codec.stream import CHECK, DIGEST, Facts, read, write
from zoo.codec.tiles import Outside, Tile, agree, cut, layout, pad_of, padded
from zoo.codec.work import Known
from zoo.errors import CodecError, RequestError, Unsupported
from zoo.images import Images

if TYPE_CHECKING:
    from zoo.model import Model

LANES = 64  # tiles decoded side by side
BATCH = 16  # pictures in one call of the net


@dataclass(frozen=True)
class Packed:
    """An archive and what its bytes are.

    Attributes:
        data: the archive.
        pictures: how many; `dimensions`: numbers in all of them (C * H * W, as the model has them).
        payload: bits of the coded words; `told`: bytes of roundings told beside them, in number.
        ideal: -log2 p of all coded symbols under the model (bits-back: the bits of its bound).
        source_bytes: size of the files they came from; 0 where there were none.
        tokens: how many were coded, of a model of tokens; 0 for one of pixels.
    """

    data: bytes
    pictures: int
    dimensions: int
    payload: int
    told: int
    ideal: float
    source_bytes: int
    tokens: int = 0

    @property
    def bits(self) -> int:
        """Of the whole archive."""
        return 8 * len(self.data)

    @property
    def bits_per_dim(self) -> float:
        """Of the whole archive."""
        return self.bits / self.dimensions

    def as_dict(self) -> dict[str, Any]:
        """Plain data without the archive, for JSON."""
        given = {key: value for key, value in vars(self).items() if key != "data"}
        ratio = self.source_bytes / len(self.data) if self.source_bytes else None
        return {
            "bytes": len(self.data), "bits": self.bits, "bits_per_dim": self.bits_per_dim,
            "ratio": ratio, **given,
        }  # fmt: skip


def compress(
    model: Model, images: Any, lanes: int = LANES, batch: int = BATCH, lossy: bool = False
) -> bytes:
    """Pictures to an archive, without loss unless `lossy`.

    images   a tensor (B, C, H, W) of 8-bit levels in [-1, 1], an array, PIL images, paths, or a
             list of these; sizes and modes may differ
    lanes    tiles that are decoded side by side: more is faster and takes more memory
    batch    pictures in one call of the net
    lossy    must be said for a model of tokens: these come back exactly, the pictures as decoded

    Raises Unsupported for a model without conditional probabilities, RequestError for `lossy` where
    nothing is lost or its lack where something is, ImageError for a picture that cannot be kept exactly.
    """
    return pack(model, pictures_of(images), lanes, batch, lossy=lossy).data


def decompress(
    data: bytes, model: Model | None = None, batch: int = LANES
) -> Images | list[Images]:
    """An archive to its images: one batch if all have one shape, else a list of batches of one.

    Without `model` the very model@version that made it is loaded. Raises CodecError for an archive
    that is damaged or cannot be decoded exactly here, WeightsError for other weights.
    """
    return images_of(unpack(data, model, batch))


def pack(
    model: Model,
    pictures: Sequence[Picture],
    lanes: int = LANES,
    batch: int = BATCH,
    reference: str | None = None,
    lossy: bool = False,
) -> Packed:
    """Pictures to an archive.

    `reference` is how `zoo.load` finds the model if not by its name. Raises as `compress` does.
    """
    if min(lanes, batch) < 1 or not pictures:
        raise RequestError(
            f"There must be pictures, lanes and a batch, one at least of each; got "
            f"{len(pictures)}, {lanes} and {batch}."
        )
    names = tuple(each.name for each in pictures) if any(each.name for each in pictures) else ()
    coder = Coder.of(model)
    tokens.asked_rightly(coder.card, lossy)
    image = coder.card.image
    pixels = [each.channels(image[0], coder.binary, coder.card.title) for each in pictures]
    sizes = tuple(each.size for each in pictures)
    pads = tuple(
        pad_of(each) if padded(size, image) else b""
        for each, size in zip(pixels, sizes, strict=True)
    )
    tiles = layout(list(sizes), image)
    images, symbols = _symbols(coder, pixels, tiles, pads, batch, lossy)
    known = _known(coder, tiles, pads, lossy)
    for row, tile, each in zip(symbols, tiles, known, strict=True):
        agree(coder, row, tile, each)
    if coder.kind == AUTOREGRESSIVE:
        coded = autoregressive.encode(coder, symbols, known, lanes, batch)
    else:
        coded = bitsback.encode(coder, images, symbols, known, lanes, batch)
    digests = (
        _token_digests(symbols, tiles, sizes, [each.mode for each in pictures])
        if lossy
        else [each.digest() for each in pictures]
    )
    facts = Facts(
        model=reference or coder.card.title, weights=weights_of(model), fingerprint=coder.fingerprint,
        request=request_text(model), kind=coder.kind, alphabet=coder.grid.alphabet,
        length=coder.length, latents=coder.latents, image=image, bits=coder.grid.bits,
        latent_bits=bitsback.BITS if coder.kind == LATENT else 0, lanes=lanes, sizes=sizes,
        modes=tuple(each.mode for each in pictures), names=names, pads=pads,
        checks=tuple(each[:CHECK] for each in digests),
        contents=blake2b(b"".join(digests), digest_size=DIGEST).digest(), lossy=lossy,
    )  # fmt: skip
    data = write(facts, coded)
    bearable(numbers([(*size, 1) for size in sizes], image), len(data))
    return Packed(
        data, len(pictures), sum(each.size for each in pixels),
        32 * len(coded.words), len(coded.doubts), coded.ideal,
        sum(each.source_bytes for each in pictures), symbols.size if lossy else 0,
    )  # fmt: skip


def unpack(data: bytes, model: Model | None = None, batch: int = LANES) -> list[Picture]:
    """An archive to its pictures. Raises as `decompress` does."""
    facts, coded = read(data)
    coder = coder_of(facts, model)
    count = numbers([(*size, 1) for size in facts.sizes], facts.image) // prod(facts.image)
    holdable(count * coder.length)
    tiles = layout(list(facts.sizes), facts.image)
    known = _known(coder, tiles, facts.pads, facts.lossy)
    if facts.kind == AUTOREGRESSIVE:
        symbols = autoregressive.decode(
            coder, coded.words, coded.doubts, known, facts.lanes, max(1, batch)
        )
    else:
        symbols = bitsback.decode(coder, coded, known, max(1, batch))
    pixels = [np.zeros((facts.image[0], *size), np.uint8) for size in facts.sizes]
    for part in coder.parts(len(tiles), max(1, batch)):
        for tile, made in zip(tiles[part], coder.pictures(symbols[part]).numpy(), strict=True):
            pixels[tile.picture][
                :, tile.top : tile.top + tile.height, tile.left : tile.left + tile.width
            ] = made[:, : tile.height, : tile.width]
    names = facts.names or ("",) * len(pixels)
    back = tokens.near if facts.lossy else Picture.back
    made = [
        back(each, mode, name) for each, mode, name in zip(pixels, facts.modes, names, strict=True)
    ]
    digests = (
        _token_digests(symbols, tiles, facts.sizes, facts.modes)
        if facts.lossy
        else [each.digest() for each in made]
    )
    wrong = [n for n, each in enumerate(digests) if each[:CHECK] != facts.checks[n]]
    if wrong or blake2b(b"".join(digests), digest_size=DIGEST).digest() != facts.contents:
        first = (names[wrong[0]] or f"number {wrong[0]}") if wrong else "not to be told which"
        raise CodecError(
            f"The pictures were not decoded exactly ({len(wrong)} of {len(made)} have a wrong "
            f"checksum, the first is {first}), so none is given: this machine's arithmetic is too "
            "far from that of the machine that coded them, or the model was changed."
        )
    return made


def _symbols(
    coder: Coder,
    pixels: Sequence[Array],
    tiles: Sequence[Tile],
    pads: Sequence[bytes],
    batch: int,
    lossy: bool,
) -> tuple[Tensor, Array]:
    """Tiles uint8 (N, C, H, W) and their symbols (N, T).

    Raises Unsupported if a picture's symbols do not give it back, unless `lossy`.
    """
    image = coder.card.image
    images = torch.from_numpy(
        np.stack([cut(pixels[each.picture], each, pads[each.picture], image) for each in tiles])
    )
    symbols = np.empty((len(tiles), coder.length), np.int64)
    for part in coder.parts(len(tiles), batch):
        with torch.no_grad():
            found = coder.net.symbols(coder.float64(images[part]))
        symbols[part] = found.cpu().numpy()
        if lossy:
            continue
        back = coder.pictures(symbols[part])
        if not torch.equal(back, images[part]):
            raise Unsupported(
                f"The symbols of {coder.card.title} do not give a picture back exactly (they are "
                f"{prod(found.shape[1:]):,} tokens, say), so it cannot code pictures without loss. "
                "Choose a model of pixels."
            )
    return images, symbols


def _known(coder: Coder, tiles: Sequence[Tile], pads: Sequence[bytes], lossy: bool) -> list[Known]:
    """Symbols of each tile that need no bits, as they stand for what lies outside; none of tokens."""
    if lossy:
        return [None] * len(tiles)
    outside = Outside(coder)
    return [outside.of(tile, pads[tile.picture]) for tile in tiles]


def _token_digests(
    symbols: Array,
    tiles: Sequence[Tile],
    sizes: Sequence[tuple[int, int]],
    modes: Sequence[str],
) -> list[bytes]:
    owner = np.array([tile.picture for tile in tiles])
    cuts = np.searchsorted(owner, np.arange(1, len(sizes)))
    rows = np.split(symbols, cuts)
    return [
        tokens.digest(mode, size, each) for mode, size, each in zip(modes, sizes, rows, strict=True)
    ]
