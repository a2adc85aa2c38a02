"""A picture to a small grid of integers and back: icons, which it knows, and photographs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.columns import columns
from zoo.demo.section import SIDE, Section, rows_of
from zoo.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.images import Images
    from zoo.model import Model
    from zoo.nn.lpips import LPIPS

NAME = "vqgan-f16"


@dataclass(frozen=True)
class Row:
    """One picture through one model.

    `bits` are tokens at log2(codes) each; `psnr` in dB; `lpips` (AlexNet) is None where its weights
    are not built; `seconds` are of encoding and decoding this picture.
    """

    model: str
    picture: str
    size: str
    tokens: int
    bits: float
    psnr: float
    lpips: float | None
    seconds: float


def there_and_back(name: str = NAME) -> Section:
    """Every picture that comes with the package, over what the tokenizer makes of it."""
    import zoo
    from zoo.evaluate.sheets import labelled

    begun = time.perf_counter()
    model = zoo.load(name)
    loaded = time.perf_counter() - begun
    lpips = _lpips()
    rows: list[Row] = []
    pictures: list[list[Any]] = []
    labels: list[list[str]] = []
    for names, batch in (*rows_of("icon"), *rows_of("photo")):
        again: list[Images] = []
        for label, image in zip(names, batch, strict=True):
            row, back = _one(model, label, image, lpips)
            rows.append(row)
            again.append(back)
        last = rows[-len(names) :]
        pictures += [batch, again]
        labels += [names, [f"{r.psnr:.1f} dB, {(r.bits + 7) // 8:.0f} bytes" for r in last]]
    title = (
        f"{model.card.title}: {model.card.codes} codes, loaded in {loaded:.2f} s. Held-out icons, "
        "and photographs, of which it has seen none"
    )
    sheet = labelled(pictures, labels, caption=title, least=SIDE)
    hint = "" if lpips else "LPIPS needs its published weights: `zoo data build lpips`."
    return Section(title, rows, _table(rows), sheet, hint)


def _one(model: Model, label: str, image: Images, lpips: LPIPS | None) -> tuple[Row, Images]:
    """Encode and decode one picture; its numbers, and what came back."""
    from zoo.evaluate.fidelity import psnr
    from zoo.evaluate.tokens import bits_of
    from zoo.images import from_uint8, to_uint8

    begun = time.perf_counter()
    tokens = model.encode(image)  # (1, h, w)
    back = model.decode(tokens)  # (1, C, H, W)
    seconds = time.perf_counter() - begun
    before, after = to_uint8(image.tensor), to_uint8(back.tensor)
    row = Row(
        model=model.card.title,
        picture=label,
        size=f"{image.shape[3]}x{image.shape[2]}",
        tokens=tokens[0].numel(),
        bits=bits_of(tokens[0].numel(), model.card.codes or 1),
        psnr=float(psnr(before, after)),
        lpips=_distance(lpips, from_uint8(before), from_uint8(after)),
        seconds=seconds,
    )
    return row, back


def _distance(lpips: LPIPS | None, before: Tensor, after: Tensor) -> float | None:
    return None if lpips is None else float(lpips(before, after))


def _lpips() -> LPIPS | None:
    """LPIPS if its weights are built on this machine; it is 9 MB that we do not ship."""
    from zoo.nn.lpips import LPIPS

    try:
        return LPIPS("alex")
    except DataError:
        return None


def _table(rows: Sequence[Row]) -> str:
    header = ("picture", "size", "tokens", "bits", "PSNR dB", "LPIPS", "seconds")
    lines = [
        (
            row.picture,
            row.size,
            str(row.tokens),
            f"{row.bits:.0f}",
            f"{row.psnr:.1f}",
            "-" if row.lpips is None else f"{row.lpips:.3f}",
            f"{row.seconds:.2f}",
        )
        for row in rows
    ]
    return columns(header, lines, right=header[1:])
