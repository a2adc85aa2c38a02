"""`zoo demo`: what each family does, on pictures that come with the package, without a network.

A section is one function that runs one family's model on real pictures and returns what to print
and what to draw; `SECTIONS` lists them, and a family to come adds its own. The pictures in
`demo_data/` are photographs (public domain) and held-out icons, see LICENCES.md there; no model of
the zoo was trained on any of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.columns import columns
from zoo.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.images import Images
    from zoo.model import Model
    from zoo.nn.lpips import LPIPS

PICTURES = Path(__file__).parent / "demo_data"
COLUMNS, SIDE = 4, 256  # of the sheet: pictures in a row, least pixels a side


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


@dataclass(frozen=True)
class Section:
    """What one family shows: a line about the model, rows of numbers, rows of labelled pictures."""

    title: str
    rows: list[Row]
    pictures: list[list[Any]]
    labels: list[list[str]]


@dataclass(frozen=True)
class Report:
    """Everything the demo did: `text()` for people, `as_dict()` for scripts."""

    sections: list[Section]
    sheet: Path
    seconds: float
    hints: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without the pictures."""
        return {
            "sections": [
                {"title": each.title, "rows": [asdict(row) for row in each.rows]}
                for each in self.sections
            ],
            "sheet": str(self.sheet),
            "seconds": self.seconds,
        }

    def text(self) -> str:
        """One table a section, then where the sheet is."""
        parts = [f"{each.title}\n{_table(each.rows)}" for each in self.sections]
        parts += self.hints
        parts.append(f"{self.seconds:.1f} s in all; look at {self.sheet}")
        return "\n\n".join(parts)


def run(out: str | Path = "zoo-demo.png") -> Report:
    """Run every section and write the sheet of pictures to `out`.

    Raises UnknownModel or WeightsError if a model the demo uses is not whole, DataError if its
    pictures are not.
    """
    from zoo.evaluate.sheets import labelled_sheet

    begun = time.perf_counter()
    lpips = _lpips()
    sections = [section(lpips) for section in SECTIONS]
    pictures = [row for each in sections for row in each.pictures]
    labels = [row for each in sections for row in each.labels]
    caption = "\n".join(each.title for each in sections)
    sheet = labelled_sheet(pictures, labels, Path(out), caption=caption, least=SIDE)
    hints = [] if lpips else ["LPIPS needs its published weights: `zoo data build lpips`."]
    return Report(sections, sheet, time.perf_counter() - begun, hints)


def tokenizer(lpips: LPIPS | None, name: str = "vqgan-f16") -> Section:
    """A picture to a small grid of integers and back: icons, which it knows, and photographs."""
    import zoo

    begun = time.perf_counter()
    model = zoo.load(name)
    loaded = time.perf_counter() - begun
    rows: list[Row] = []
    pictures: list[list[Any]] = []
    labels: list[list[str]] = []
    for names, batch in (*_pictures("icon"), *_pictures("photo")):
        again: list[Images] = []
        for label, image in zip(names, batch, strict=True):
            row, back = _there_and_back(model, label, image, lpips)
            rows.append(row)
            again.append(back)
        shown = rows[-len(names) :]
        pictures += [batch, again]
        labels += [names, [f"{r.psnr:.1f} dB, {(r.bits + 7) // 8:.0f} bytes" for r in shown]]
    title = (
        f"{model.card.title}: {model.card.codes} codes, loaded in {loaded:.2f} s. Held-out icons, "
        "and photographs, of which it has seen none"
    )
    return Section(title, rows, pictures, labels)


SECTIONS: tuple[Callable[[LPIPS | None], Section], ...] = (tokenizer,)


def _there_and_back(
    model: Model, label: str, image: Images, lpips: LPIPS | None
) -> tuple[Row, Images]:
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


def _pictures(kind: str) -> Iterator[tuple[list[str], list[Images]]]:
    """Names and pictures of a kind that ship with the package, one row of the sheet at a time."""
    from zoo.images import Images

    files = sorted(PICTURES.glob(f"{kind}-*.webp"))
    if not files:
        raise DataError(f"{PICTURES} holds no {kind}-*.webp: this installation is not whole.")
    names = [file.stem.removeprefix(f"{kind}-").replace("-", " ") for file in files]
    for start in range(0, len(files), COLUMNS):
        row = slice(start, start + COLUMNS)
        yield names[row], [Images.read(file, 3) for file in files[row]]


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
