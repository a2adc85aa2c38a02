"""What a model's lossless archive takes, beside PNG, WebP and JPEG XL on the same pictures.

Each picture is a file of its own for the three, header and all, as it would lie on a disk, at the
hardest their encoders try: PNG with Pillow's search for the best compression (and one bit a pixel
for black and white pictures), WebP lossless with method 6, JPEG XL lossless with effort 9. Ours is
one archive of all pictures by `zoo.codec`, its whole size divided by their number; the model's
weights are not counted.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from zoo.codec import CodecError, Picture, pack, unpack
from zoo.evaluate.codec_search import installed
from zoo.evaluate.gauge import Reading
from zoo.evaluate.measure import batches
from zoo.evaluate.metric import Metric, mean_and_se, rounded
from zoo.progress import progress

if TYPE_CHECKING:
    from zoo.model import Model

COUNT = 1000  # pictures, unless told otherwise
AGAIN = 16  # of these, decoded and compared
SECTION = """\
## Lossless, beside PNG, WebP and JPEG XL

{count} pictures of {data}, {shape}, without loss. PNG, WebP and JPEG XL: one file a picture, headers
counted. The model: one archive of all, its whole size divided by {count}; its weights are not counted.
{again} pictures were decoded again and compared.

{table}

{verdict} Measured by `{line}`."""


@dataclass(frozen=True)
class Format:
    """A lossless picture format: what is handed to Pillow, and the mode of black and white."""

    title: str
    options: dict[str, Any] = field(default_factory=dict)
    binary: str = "L"


FORMATS = {
    "png": Format("PNG, optimised", {"format": "PNG", "optimize": True}, "1"),
    "webp": Format(
        "WebP, lossless", {"format": "WEBP", "lossless": True, "quality": 100, "method": 6}
    ),
    "jxl": Format("JPEG XL, effort 9", {"format": "JXL", "lossless": True, "effort": 9}),
}


@dataclass(frozen=True)
class Lossless:
    """One way to write pictures without loss.

    Attributes:
        title: "PNG, optimised", or the model's name.
        bytes: mean size of a picture.
        se: standard error of that over pictures; None for the model's one archive.
        bits_per_dim: bits for each of a picture's C * H * W numbers.
        count: pictures.
    """

    title: str
    bytes: float
    se: float | None
    bits_per_dim: float
    count: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


def lossless(model: Model, parts: Iterable[Tensor], batch: int = 16) -> list[Lossless]:
    """Write pictures with a model and with each of FORMATS.

    Args:
        model: one with conditional probabilities.
        parts: uint8 (B, C, H, W), C 1 or 3.
        batch: pictures in one call of the net.

    Returns:
        The model's row first, then those of FORMATS.

    Raises:
        Unsupported: the model gives no probabilities, or JPEG XL is not installed. CodecError: the
        archive did not decode exactly.
    """
    installed("webp")
    installed("jxl")
    pictures = [Picture(each, "L" if len(each) == 1 else "RGB")
                for part in parts for each in part.numpy()]  # fmt: skip
    dimensions = pictures[0].pixels.size
    packed = pack(model, pictures, batch=batch)
    few = pictures[:: max(1, len(pictures) // AGAIN)][:AGAIN]
    for one, other in zip(few, unpack(pack(model, few).data, model), strict=True):
        if not np.array_equal(one.pixels, other.pixels):
            raise CodecError("A picture came back changed without an error: please report this.")
    mean = len(packed.data) / len(pictures)
    rows = [Lossless(model.name, mean, None, 8 * mean / dimensions, len(pictures))]
    images = [each.pil() for each in pictures]
    binary = all(bool(np.isin(each.pixels, (0, 255)).all()) for each in pictures)
    for form in FORMATS.values():
        sizes = [
            float(size_of(image, form, binary))
            for image in progress(images, len(images), form.title)
        ]
        mean, se = mean_and_se(sizes)
        rows.append(Lossless(form.title, mean, se, 8 * mean / dimensions, len(pictures)))
    return rows


def size_of(image: Image.Image, form: Format, binary: bool = False) -> int:
    """Bytes of one picture's file."""
    file = io.BytesIO()
    suited = image.convert(form.binary) if binary and len(image.getbands()) == 1 else image
    suited.save(file, **form.options)
    return len(file.getvalue())


def saving(rows: list[Lossless]) -> tuple[float, Lossless]:
    """Percent of bytes less than the best other row (negative: more), and that row."""
    best = min(rows[1:], key=lambda row: row.bytes)
    return 100 * (1 - rows[0].bytes / best.bytes), best


def readings(rows: list[Lossless]) -> list[Reading]:
    """The numbers for the model's card."""
    less, best = saving(rows)
    note = {"against": best.title}
    return [
        Reading("lossless bytes a picture", rows[0].bytes, "B"),
        Reading("lossless bits per dimension", rows[0].bits_per_dim, "bit"),
        Reading(f"lossless saving against {best.title}", less, "%", None, note),
    ]


def section(rows: list[Lossless], shape: tuple[int, ...], data: str, line: str) -> str:
    """Lay rows out as the section of a card."""
    table = ["| | bytes a picture | bits/dim |", "|---|---:|---:|"]
    for place, row in enumerate(rows):
        title = row.title if place else f"**{row.title}**"
        margin = "" if row.se is None else f" ± {rounded(row.se, 2):g}"
        table.append(f"| {title} | {rounded(row.bytes, 4):g}{margin} | {row.bits_per_dim:.3f} |")
    less, best = saving(rows)
    verdict = f"{abs(less):.1f} % {'fewer' if less > 0 else 'more'} bytes than {best.title}."
    return SECTION.format(
        count=rows[0].count, data=data, shape="x".join(map(str, shape)), table="\n".join(table),
        again=min(AGAIN, rows[0].count), verdict=verdict, line=line,
    )  # fmt: skip


def measured_beside(
    model: Model, data: Any, count: int | None, batch_size: int, called: str, line: str
) -> tuple[list[Metric], tuple[Lossless, ...], str]:
    """Measure `lossless` on a set: metrics, rows and the Markdown of the card.

    Raises Unsupported if the model gives no conditional probabilities.
    """
    count = min(count or COUNT, len(data))
    rows = lossless(model, batches(data, count, batch_size), batch_size)
    metrics = [
        Metric(each.name, each.value, each.unit, each.se, count, called, line,
               {"model": model.card.title, **each.settings})
        for each in readings(rows)
    ]  # fmt: skip
    return metrics, tuple(rows), section(rows, model.card.image, called, line)
