"""Picture sheets: rows of pictures, a label under each, a title over each column; saved as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zoo.errors import ImageError, RequestError

if TYPE_CHECKING:
    from zoo.evaluate.baselines import Row
    from zoo.images import Images
    from zoo.model import Model

GAP, TEXT, LEAST = (
    10,
    13,
    112,
)  # pixels: between cells, letters, least side of a picture
PAPER, INK, FAINT = (255, 255, 255), (24, 24, 24), (205, 205, 205)


def drawn(picture: Any) -> Image.Image:
    """Return an RGB picture.

    Args:
        picture: a PIL image, uint8 (H, W, 3), (H, W) or (C, H, W), a float tensor (C, H, W) in
            [-1, 1], or Images that hold one picture.

    Raises:
        ImageError: anything else.
    """
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    if hasattr(picture, "detach"):  # a tensor; torch need not be imported to draw arrays
        picture = picture.detach().cpu()
        picture = (picture.float() if picture.is_floating_point() else picture).numpy()
    array = np.asarray(picture)
    if array.ndim == 4 and len(array) == 1:  # zoo.Images keeps the batch when it is indexed
        array = array[0]
    if array.dtype.kind == "f":
        array = np.clip(np.round((array + 1) * 127.5), 0, 255).astype(np.uint8)
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8 or not (array.ndim == 2 or array.shape[2:] == (3,)):
        raise ImageError(
            "A sheet shows PIL images, uint8 (H, W, 3) or (C, H, W), or float (C, H, W) in "
            f"[-1, 1]; "
            f"got {array.dtype} {array.shape}."
        )
    return Image.fromarray(array).convert("RGB")


def labelled_sheet(
    rows: Sequence[Sequence[Any]],
    labels: Sequence[Sequence[str]],
    path: str | Path,
    titles: Sequence[str] | None = None,
    caption: str = "",
    least: int = LEAST,
) -> Path:
    r"""Write one PNG that shows rows of pictures, each with its label below it.

    Args:
        rows: pictures as `drawn` takes them; rows may differ in length.
        labels: a text for each picture; "\n" starts a new line, "" is none.
        path: the file to write; its folder is made.
        titles: a heading for each column.
        caption: one or more lines over everything.
        least: pictures smaller than this are shown enlarged by a whole factor, so that labels fit.

    Returns:
        The path.

    Raises:
        RequestError: no picture, or labels and pictures do not match.
        ImageError: something is not a picture.
    """
    sheet = labelled(rows, labels, titles, caption, least)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG", optimize=True)
    return path


def labelled(
    rows: Sequence[Sequence[Any]],
    labels: Sequence[Sequence[str]],
    titles: Sequence[str] | None = None,
    caption: str = "",
    least: int = LEAST,
) -> Image.Image:
    """The sheet that `labelled_sheet` writes. Raises as it does."""
    pictures, texts = [len(row) for row in rows], [len(row) for row in labels]
    if pictures != texts or not any(pictures):
        raise RequestError(
            f"Every picture has one label: there are rows of {pictures} pictures, {texts} labels."
        )
    font = ImageFont.load_default(TEXT)
    shown = [[_enlarged(drawn(each), least) for each in row] for row in rows]
    columns = max(len(row) for row in shown)
    headings = list(titles or ())
    if len(headings) > columns:
        raise RequestError(f"{len(headings)} titles for {columns} columns: {headings}.")

    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))

    def measure(text: str) -> tuple[int, int]:
        if not text:
            return 0, 0
        left, _, right, bottom = pen.multiline_textbbox((0, 0), text, font=font)
        return round(right - min(left, 0)), round(bottom) + 3

    def column(index: int) -> int:
        cells = [row[index].width for row in shown if index < len(row)]
        words = [measure(row[index])[0] for row in labels if index < len(row)]
        return max([*cells, *words, *(measure(each)[0] for each in headings[index : index + 1])])

    widths = [column(index) for index in range(columns)]
    heights = [max((each.height for each in row), default=0) for row in shown]
    below = [max((measure(each)[1] for each in row), default=0) for row in labels]
    head = max((measure(each)[1] for each in headings), default=0)
    top = measure(caption)[1]
    top += GAP * bool(top) + head + GAP // 2 * bool(head)
    width = max(sum(widths) + GAP * (columns + 1), measure(caption)[0] + 2 * GAP)
    sheet = Image.new(
        "RGB", (width, GAP + top + sum(heights) + sum(below) + (GAP + 2) * len(rows)), PAPER
    )
    pen = ImageDraw.Draw(sheet)
    if caption:
        pen.multiline_text((GAP, GAP), caption, INK, font=font)
    y = GAP + top
    lefts = [GAP + sum(widths[:index]) + GAP * index for index in range(columns)]
    for x, heading in zip(lefts, headings, strict=False):
        pen.text((x, y - head - GAP // 2), heading, INK, font=font)
    for row, words_of, height, words in zip(shown, labels, heights, below, strict=True):
        for x, each, text in zip(lefts, row, words_of, strict=False):
            sheet.paste(each, (x, y))
            pen.rectangle((x - 1, y - 1, x + each.width, y + each.height), outline=FAINT)
            pen.multiline_text((x, y + each.height + 2), text, INK, font=font)
        y += height + words + GAP + 2
    return sheet


def of_texts(
    images: Images, texts: Sequence[str], columns: int = 4, caption: str = "", least: int = LEAST
) -> Image.Image:
    """A sheet of texts, `columns` in a row, each under the pictures drawn for it.

    Of n `images` the first n / len(texts) are the first text's, and so on. Raises RequestError if that is no whole
    number.
    """
    from zoo.images import Images

    each = len(images) // max(1, len(texts))
    if not texts or each * len(texts) != len(images):
        raise RequestError(f"{len(images)} pictures are not as many of each of {len(texts)} texts.")
    tiles = [
        Images(images[place * each : (place + 1) * each]).grid() for place in range(len(texts))
    ]
    rows = range(0, len(texts), columns)
    return labelled(
        [tiles[start : start + columns] for start in rows],
        [list(texts[start : start + columns]) for start in rows],
        caption=caption,
        least=least,
    )


def stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    """One sheet over the other, from the left. Raises RequestError for none."""
    if not sheets:
        raise RequestError("There is no sheet to stack.")
    size = max(each.width for each in sheets), sum(each.height for each in sheets)
    whole, y = Image.new("RGB", size, PAPER), 0
    for each in sheets:
        whole.paste(each, (0, y))
        y += each.height
    return whole


def _enlarged(picture: Image.Image, least: int) -> Image.Image:
    factor = -(-least // max(1, min(picture.size)))
    if factor < 2:
        return picture
    return picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )


def reconstruction_sheet(
    model: Model, images: Any, path: str | Path, names: Sequence[str] | None = None
) -> Path:
    """Write originals over what `model` rebuilds of them, each with its PSNR.

    Args:
        model: encodes and decodes.
        images: uint8 (B, C, H, W), or floats in [-1, 1] of that shape.
        path: the PNG to write.
        names: a caption for each original.

    Raises:
        RequestError: names and images differ in number. ImageError: images of another shape.
    """
    import torch

    from zoo.evaluate.fidelity import psnr
    from zoo.evaluate.measure import rebuilt
    from zoo.evaluate.tokens import bytes_needed
    from zoo.images import from_uint8, to_uint8

    images = torch.as_tensor(images)
    if images.ndim != 4:
        raise ImageError(f"Images to rebuild are (B, C, H, W); got {tuple(images.shape)}.")
    pictures = images if images.dtype == torch.uint8 else to_uint8(images)
    made, latents = rebuilt(model, from_uint8(pictures))
    errors = psnr(pictures.cpu(), made)
    cost = f"{tuple(latents.shape[1:])}".strip("()")
    if model.card.codes is not None:
        cost = f"{bytes_needed(latents[0].numel(), model.card.codes)} bytes"
    titles = list(names or (f"picture {index + 1}" for index in range(len(pictures))))
    below = [f"{float(error):.1f} dB, {cost}" for error in errors]
    caption = f"above: the original; below: what {model.card.title} rebuilds"
    return labelled_sheet([list(pictures), list(made)], [titles, below], path, caption=caption)


def sheet(
    originals: Any, ours: Any, rows: Sequence[Row], path: str | Path, name: str = "ours",
    spent: float | None = None, shown: int = 8, lpips: Any = None,
) -> Path:  # fmt: skip
    """Write a comparison at equal bytes: original | ours | each codec, with bytes, PSNR and LPIPS.

    Args:
        originals: uint8 (N, C, H, W).
        ours: uint8 of the same shape, the reconstructions.
        rows: what `codecs` returned for the same pictures and one number of bytes.
        path: the PNG to write.
        name: what to call our column.
        spent: our bytes a picture.
        shown: pictures to show, spread evenly over the set.
        lpips: an LPIPS module for our own labels; without it they carry PSNR alone.
    """
    import torch

    from zoo.evaluate.fidelity import psnr
    from zoo.images import from_uint8

    budgets = {row.budget for row in rows}
    if not rows or len(budgets) > 1:
        raise RequestError(f"A sheet compares at one number of bytes; got {sorted(budgets)}.")
    if any(len(row.pictures) != len(originals) for row in rows) or originals.shape != ours.shape:
        raise RequestError("Originals, ours and every codec's pictures must be the same pictures.")
    some = torch.linspace(0, len(originals) - 1, min(shown, len(originals))).round().long().tolist()
    errors = psnr(originals[some], ours[some]).tolist()
    marks = [f"{error:.1f} dB" for error in errors]
    if lpips is not None:
        pair = [from_uint8(each[some]).expand(-1, 3, -1, -1) for each in (ours, originals)]
        with torch.inference_mode():
            distances = lpips(*pair).tolist()
        marks = [f"{a}\nLPIPS {b:.3f}" for a, b in zip(marks, distances, strict=True)]
    own = [f"{spent:g} bytes, {mark}" if spent else mark for mark in marks]
    cells = [[originals[i], ours[i], *(row.pictures[i] for row in rows)] for i in some]
    texts = [["", own[k], *(row.label(i) for row in rows)] for k, i in enumerate(some)]
    titles = ["original", name, *(row.title for row in rows)]
    caption = f"At no more than {budgets.pop()} bytes a picture (! marks files that need more)"
    return labelled_sheet(cells, texts, path, titles, caption)
