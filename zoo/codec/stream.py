"""The bytes of an archive. README.md beside this file lays them out one by one.

    magic (8)  version (1)  length of the facts (varint)  facts  words (uint32, little-endian)
    digest (16): BLAKE2b of all that stands before it

Every change of a byte changes the digest's input or the digest itself, so that it is detected; so
are truncation and bytes appended.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from zoo.codec.claims import bearable, inflated, numbers
from zoo.codec.fields import Reader, Writer
from zoo.codec.intervals import PRECISION, Doubt
from zoo.codec.pictures import MODES
from zoo.codec.tiles import padded
from zoo.codec.work import Coded
from zoo.errors import CodecError

MAGIC = b"\x89zoo\r\n\x1a\n"  # as PNG's: shows when it was taken for text on the way
VERSION = 1
DIGEST = 16
CHECK = 2  # bytes of a picture's digest that name it where it is wrong
SHA = 32
SAME, NAMED, LOSSY = 1, 2, 4  # flags: all of one mode and size; pictures have names; of tokens


@dataclass(frozen=True)
class Facts:
    """What an archive says besides its words.

    Attributes:
        model: name@version, or an hf: reference.
        weights: sha256 of the weights' files, in hex; then those of the model's parts.
        fingerprint: 8 bytes of the values of the weights in float64.
        request: the condition as JSON, "" for none.
        kind: AUTOREGRESSIVE or LATENT.
        alphabet, length, latents: K, T, D.
        image: (C, H, W) of a tile.
        bits: R, the grid of boundaries; latent_bits: P.
        lanes: tiles decoded side by side.
        sizes, modes, names: of the pictures; no names if they had none.
        pads: colour outside of each picture; b"" where its tiles fit.
        checks: CHECK bytes of each picture's digest.
        contents: BLAKE2b of all digests of pictures.
        lossy: digests are of tokens, and pictures what these decode to (zoo.codec.tokens).
    """

    model: str
    weights: tuple[str, ...]
    fingerprint: bytes
    request: str
    kind: int
    alphabet: int
    length: int
    latents: int
    image: tuple[int, int, int]
    bits: int
    latent_bits: int
    lanes: int
    sizes: tuple[tuple[int, int], ...]
    modes: tuple[str, ...]
    names: tuple[str, ...]
    pads: tuple[bytes, ...]
    checks: tuple[bytes, ...]
    contents: bytes
    lossy: bool = False


def write(facts: Facts, coded: Coded) -> bytes:
    """Lay an archive out."""
    block = _facts(facts, coded)
    small = zlib.compress(block, 9, wbits=-15)
    block = b"\1" + small if len(small) < len(block) else b"\0" + block
    head = Writer()
    head.number(len(block))
    body = MAGIC + bytes([VERSION]) + head.done() + block + coded.words.astype("<u4").tobytes()
    return body + blake2b(body, digest_size=DIGEST).digest()


def read(data: bytes) -> tuple[Facts, Coded]:
    """Take an archive apart. Raises CodecError for what is damaged, cut short or foreign."""
    if not data.startswith(MAGIC):
        raise CodecError(_foreign(data))
    if len(data) < len(MAGIC) + 1 + DIGEST:
        raise CodecError(f"The archive is cut short: it has {len(data)} bytes.")
    body, digest = data[:-DIGEST], data[-DIGEST:]
    whole = blake2b(body, digest_size=DIGEST).digest() == digest
    if data[len(MAGIC)] != VERSION:
        raise CodecError(
            f"The archive is of format {data[len(MAGIC)]}, this genzoo reads {VERSION}"
            + (": install a newer one." if whole else ", and its checksum is wrong: it is damaged.")
        )
    if not whole:
        raise CodecError(
            "The archive is damaged or cut short: its checksum does not fit its bytes. Fetch it "
            "again; nothing of it can be trusted."
        )
    try:
        reader = Reader(body[len(MAGIC) + 1 :])
        block = reader.raw(reader.number())
        words = reader.raw(reader.rest)
        block = inflated(block[1:]) if block[0] else block[1:]
        return _read(Reader(block), words, len(data))
    except (IndexError, ValueError, RecursionError, zlib.error) as error:
        raise CodecError(f"The archive's facts cannot be read: {error}.") from error


def _facts(facts: Facts, coded: Coded) -> bytes:
    out = Writer()
    out.text(facts.model)
    out.number(len(facts.weights))
    for each in facts.weights:
        out.raw(bytes.fromhex(each))
    out.raw(facts.fingerprint)
    out.text(facts.request)
    out.number(facts.kind, facts.alphabet, facts.length, facts.latents, *facts.image)
    out.number(PRECISION, facts.bits, facts.latent_bits, facts.lanes)
    alike = len({*zip(facts.modes, facts.sizes, strict=True)}) == 1
    flags = SAME * alike + NAMED * bool(facts.names) + LOSSY * facts.lossy
    out.number(len(facts.sizes), flags)
    for mode, size in list(zip(facts.modes, facts.sizes, strict=True))[: 1 if alike else None]:
        out.number(MODES.index(mode), *size)
    for name in facts.names:
        out.text(name)
    out.raw(b"".join(facts.pads))
    out.raw(b"".join(facts.checks) + facts.contents)
    out.number(coded.kept, len(coded.runs), *(n for run in coded.runs for n in run))
    out.number(len(coded.doubts))
    last = 0
    for doubt in coded.doubts:
        out.number(doubt.place - last, 2 * doubt.edge + doubt.odd)
        last = doubt.place
    return out.done()


def _read(take: Reader, words: bytes, size: int) -> tuple[Facts, Coded]:
    model = take.text()
    weights = tuple(take.raw(SHA).hex() for _ in range(take.number()))
    fingerprint, request = take.raw(8), take.text()
    if request and not isinstance(json.loads(request), dict):
        raise ValueError(f"the condition {request[:40]!r} is no object of JSON")
    kind, alphabet, length, latents, channels, height, width = take.numbers(7)
    precision, bits, latent_bits, lanes = take.numbers(4)
    if precision != PRECISION:
        raise CodecError(f"The archive counts 2^-{precision}, this genzoo 2^-{PRECISION}.")
    count, flags = take.numbers(2)
    if flags & ~(SAME | NAMED | LOSSY):
        raise ValueError(f"flags {flags} are of a later genzoo: install a newer one")
    if not lanes or count * CHECK > take.rest:
        raise ValueError(f"{count:,} pictures in {lanes} lanes do not fit {take.rest:,} bytes")
    shapes = [take.numbers(3) for _ in range(1 if flags & SAME else count)]
    image = (channels, height, width)
    times = count if flags & SAME else 1
    bearable(numbers([(shape[1], shape[2], times) for shape in shapes], image), size)
    shapes = shapes * times
    sizes = tuple((shape[1], shape[2]) for shape in shapes)
    modes = tuple(MODES[shape[0]] for shape in shapes)
    names = tuple(take.text() for _ in range(count if flags & NAMED else 0))
    lossy = bool(flags & LOSSY)
    pads = tuple(take.raw(channels if padded(each, image) else 0) for each in sizes)
    checks = tuple(take.raw(CHECK) for _ in range(count))
    contents = take.raw(DIGEST)
    kept = take.number()
    runs = [take.numbers(2) for _ in range(take.number())]
    doubts, place = [], 0
    for _ in range(take.number()):
        step, edge = take.numbers(2)
        place += step
        doubts.append(Doubt(place, edge >> 1, bool(edge & 1)))
    if take.rest or len(words) % 4:
        raise ValueError(f"{take.rest} bytes of facts and {len(words)} of words are left over")
    facts = Facts(
        model, weights, fingerprint, request, kind, alphabet, length, latents, image, bits,
        latent_bits, lanes, sizes, modes, names, pads, checks, contents, lossy,
    )  # fmt: skip
    made = np.frombuffer(words, "<u4").astype(np.uint32)
    return facts, Coded(made, tuple(doubts), 0.0, tuple((a, b) for a, b in runs), kept)


def _foreign(data: bytes) -> str:
    kinds: Sequence[tuple[bytes, str]] = (
        (b"\x89PNG", "a PNG picture"), (b"\xff\xd8\xff", "a JPEG picture"), (b"RIFF", "WebP"),
        (b"PK\3\4", "a zip archive"), (b"\x1f\x8b", "gzip"), (b"", "something else"),
    )  # fmt: skip
    kind = next(name for start, name in kinds if data.startswith(start))
    if data and MAGIC.startswith(data[: len(MAGIC)]):
        return f"The archive is cut short: it has {len(data)} bytes."
    if not data:
        return "The archive is empty."
    return (
        f"This is no archive of `zoo compress`: it does not begin with its mark, it looks like "
        f"{kind}. An archive that went through a transfer as text is damaged in the same way."
    )
