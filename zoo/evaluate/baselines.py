"""What image codecs make of the same pictures within the same bytes: JPEG, WebP, AVIF, JPEG XL.

A hundred bytes a picture of 128 pixels is far below what these codecs are made for, so each is
given its best chance: the picture is shrunk by 1, 2, 3, 4, 6 and 8 (Lanczos), encoded at the
highest quality that still fits, decoded and enlarged again (Lanczos), and the scale with the
least LPIPS (or highest PSNR) is taken, picture by picture. The whole file counts, header and all,
as it would lie on a disk. If nothing fits, the smallest file the codec can write at any scale is
taken instead, and `Row.fits` says how often something did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.errors import ImageError, RequestError
from zoo.evaluate.codec_search import CODECS, Candidate, Search, installed
from zoo.evaluate.fidelity import decibels, mse
from zoo.evaluate.metric import mean_and_se, rounded
from zoo.images import from_uint8
from zoo.nn.lpips import LPIPS
from zoo.progress import progress


@dataclass(frozen=True, eq=False)
class Row:
    """One codec within one number of bytes over a set of pictures.

    Attributes:
        codec: key of CODECS.
        budget: bytes a picture may take.
        bytes: mean size of the files taken.
        fits: share of pictures whose file is within the budget; the others are the codec's
            smallest file.
        psnr, psnr_se: mean over pictures of PSNR in dB and its standard error.
        psnr_of_mse: PSNR in dB of the mean squared error.
        lpips, lpips_se: mean LPIPS (AlexNet) and its standard error; None if it was not measured.
        count: pictures.
        by: what the scale was chosen by.
        pictures: uint8 (N, C, H, W), what comes out.
        sizes, psnrs, distances: the same numbers picture by picture.
    """

    codec: str
    budget: int
    bytes: float
    fits: float
    psnr: float
    psnr_se: float | None
    psnr_of_mse: float
    lpips: float | None
    lpips_se: float | None
    count: int
    by: str
    pictures: Tensor
    sizes: tuple[int, ...]
    psnrs: tuple[float, ...]
    distances: tuple[float, ...]

    @property
    def title(self) -> str:
        """The codec's name as people write it."""
        return CODECS[self.codec].title

    def label(self, index: int) -> str:
        """Bytes, PSNR and LPIPS of one picture; "!" marks a file over the budget."""
        over = "!" if self.sizes[index] > self.budget else ""
        first = f"{self.sizes[index]}{over} bytes, {self.psnrs[index]:.1f} dB"
        return f"{first}\nLPIPS {self.distances[index]:.3f}" if self.distances else first

    def as_dict(self) -> dict[str, Any]:
        """Plain data without the pictures, for JSON."""
        leave = ("pictures", "sizes", "psnrs", "distances")
        return {key: value for key, value in vars(self).items() if key not in leave}


def codecs(
    images: Tensor,
    bytes: int | Sequence[int],
    names: Sequence[str] = tuple(CODECS),
    by: Literal["lpips", "psnr"] = "lpips",
    lpips: LPIPS | None = None,
) -> list[Row]:
    """Encode pictures with image codecs at no more than so many bytes each.

    Args:
        images: uint8 (N, C, H, W), C 1 or 3.
        bytes: the most a picture may take; several numbers are cheaper together than one by one.
        names: out of CODECS.
        by: choose the scale by least LPIPS (AlexNet), or by highest PSNR, which needs no weights.
        lpips: a module to reuse; by default the built weights are loaded if `by` is "lpips".

    Returns:
        A Row for each budget and codec, in that order.

    Raises:
        RequestError: an unknown codec or no budget. Unsupported: the codec is not installed.
        ImageError: images of another kind. DataError: the LPIPS weights are missing.
    """
    budgets = [bytes] if isinstance(bytes, int) else list(bytes)
    if not budgets or min(budgets) < 1 or by not in ("lpips", "psnr"):
        raise RequestError(f"bytes are at least 1, by is 'lpips' or 'psnr'; got {bytes}, {by!r}.")
    if (
        images.dtype != torch.uint8
        or images.ndim != 4
        or images.shape[1] not in (1, 3)
        or not len(images)
    ):
        raise ImageError(
            "Codecs take uint8 pictures (N, 1 or 3, H, W); "
            f"got {images.dtype} {tuple(images.shape)}."
        )
    chosen = {name: installed(name) for name in names}
    net = lpips if lpips is not None else LPIPS("alex") if by == "lpips" else None
    taken: dict[tuple[int, str], list[tuple[Candidate, float | None]]] = {
        (budget, name): [] for budget in budgets for name in chosen
    }
    for original in progress(images.cpu(), len(images), "encoding with codecs"):
        found: dict[tuple[int, str], list[Candidate]] = {}
        for name, codec in chosen.items():
            search = Search(codec, original)
            found |= {(budget, name): search.candidates(budget) for budget in budgets}
        every = [each for group in found.values() for each in group]
        distances = _distances(net, original, every)
        for key, group in found.items():
            pairs = [(each, distances.get(id(each))) for each in group]
            taken[key].append(min(pairs, key=lambda p: -p[0].psnr if by == "psnr" else p[1] or 0.0))
    return [_row(images, budget, name, by, pairs) for (budget, name), pairs in taken.items()]


def _distances(net: LPIPS | None, original: Tensor, every: Sequence[Candidate]) -> dict[int, float]:
    if net is None:
        return {}
    device = net.shift.device
    with torch.inference_mode():
        wanted = net.taps(from_uint8(original[None].to(device)).expand(-1, 3, -1, -1))
        pictures = torch.stack([each.picture for each in every]).to(device)
        values = net.distance(net.taps(from_uint8(pictures).expand(-1, 3, -1, -1)), wanted).tolist()
    return {id(each): value for each, value in zip(every, values, strict=True)}


def _row(
    images: Tensor, budget: int, name: str, by: str, pairs: Sequence[tuple[Candidate, float | None]]
) -> Row:
    pictures = torch.stack([each.picture for each, _ in pairs])
    sizes = tuple(each.size for each, _ in pairs)
    psnrs = tuple(each.psnr for each, _ in pairs)
    distances = tuple(value for _, value in pairs if value is not None)
    count = len(pairs)
    mean, se = mean_and_se(psnrs)
    far, far_se = mean_and_se(distances) if distances else (None, None)
    error = float(mse(images.cpu(), pictures).mean())
    return Row(
        name, budget, sum(sizes) / count, sum(size <= budget for size in sizes) / count,
        mean, se, decibels(error), far, far_se, count, by, pictures, sizes, psnrs, distances,
    )  # fmt: skip


def markdown(
    rows: Sequence[Row], ours: Sequence[tuple[str, float, float, float | None]] = ()
) -> str:
    """Lay rows out as a Markdown table.

    Args:
        rows: from `codecs`.
        ours: lines to put first: (name, bytes a picture, PSNR, LPIPS).
    """
    lines = [
        "| | bytes a picture | PSNR, dB | LPIPS (alex) | within the bytes |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, size, decibel, distance in ours:
        far = "" if distance is None else f"{distance:.3f}"
        lines.append(f"| **{name}** | {rounded(size, 4):g} | {decibel:.2f} | {far} | all |")
    for row in rows:
        far = "" if row.lpips is None else f"{row.lpips:.3f}"
        fits = "all" if row.fits == 1 else f"{100 * row.fits:.0f} %"
        fits = "never: its smallest files" if row.fits == 0 else fits
        lines.append(
            f"| {row.title} at {row.budget} | {rounded(row.bytes, 4):g} | {row.psnr:.2f} "
            f"| {far} | {fits} |"
        )
    return "\n".join(lines)
