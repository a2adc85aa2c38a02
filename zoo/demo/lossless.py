"""Pictures to an archive and back, bit for bit, by a model's own probabilities."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from zoo.columns import columns
from zoo.demo.section import SIDE, Missing, Section, pictures, shown
from zoo.errors import CodecError

if TYPE_CHECKING:
    from zoo.codec import Packed

NAMES = ("pixelcnn-icons",)
EVERY = 2  # of the icons, one in so many: coding takes a second a picture
COMPARED = ("png", "webp")


@dataclass(frozen=True)
class Row:
    """All pictures in one format; `seconds` to write them and to read them, of ours alone."""

    format: str
    files: int
    bytes: int
    bits_per_dim: float
    seconds: float | None


def archived(names: tuple[str, ...] = NAMES) -> Section | Missing | None:
    """Held-out icons to one archive and back, beside PNG and WebP."""
    import zoo
    from zoo.codec import Picture, pack, unpack
    from zoo.evaluate.lossless import FORMATS, size_of
    from zoo.evaluate.sheets import labelled
    from zoo.images import Images

    known = shown(names)
    if not known:
        return None
    if find_spec("constriction") is None:
        return Missing("To see archives without loss beside PNG: `pip install 'genzoo[codec]'`.")
    model = zoo.load(known[0])
    channels, side, _ = model.card.image
    titles, files = (each[::EVERY] for each in pictures("icon"))
    before = Images.read(files, channels, side)
    given = [Picture.of(each) for each in before.pil()]
    begun = time.perf_counter()
    packed = pack(model, given)
    back = unpack(packed.data, model)
    seconds = time.perf_counter() - begun
    if any(one.digest() != two.digest() for one, two in zip(given, back, strict=True)):
        raise CodecError("A picture came back changed without an error: please report this.")
    others = {key: [size_of(each, FORMATS[key]) for each in before.pil()] for key in COMPARED}
    rows = [Row(model.card.title, 1, len(packed.data), packed.bits_per_dim, seconds)]
    for key, sizes in others.items():
        dims = 8 * sum(sizes) / packed.dimensions
        rows.append(Row(FORMATS[key].title, len(sizes), sum(sizes), dims, None))
    title = _title(packed, rows, side)
    labels = [f"{name}\nPNG {size} B" for name, size in zip(titles, others["png"], strict=True)]
    sheet = labelled([[each.pil() for each in back]], [labels], caption=title, least=SIDE)
    return Section(title, rows, _table(rows), sheet)


def _title(packed: Packed, rows: list[Row], side: int) -> str:
    ours, png = rows[0], rows[1]
    less = 100 * (1 - ours.bytes / png.bytes)
    return (
        f"Without loss: {packed.pictures} held-out icons of {side} px in {ours.bytes:,} bytes by {ours.format} "
        f"({less:.0f} % fewer than PNG's {png.bytes:,}), and back bit for bit"
    )


def _table(rows: list[Row]) -> str:
    header = ("format", "files", "bytes", "bits/dim", "seconds")
    lines = [
        (
            row.format,
            str(row.files),
            f"{row.bytes:,}",
            f"{row.bits_per_dim:.3f}",
            "" if row.seconds is None else f"{row.seconds:.2f}",
        )
        for row in rows
    ]
    return columns(header, lines, right=header[1:])
