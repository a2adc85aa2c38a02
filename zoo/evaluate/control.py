"""How well pictures keep to a hint: edge F1, and IoU of semantic maps, beside the same model without its ControlNet.

A hint is made of each held-out picture by the annotator of the ControlNet's kind, with the options it was trained with
where its card has the recipe; the ControlNet draws one picture for it (given the picture's caption too, where the base
takes text), and the base draws one with the same seed without it.

    edge F1   of E_h, the hint's edge pixels, and E_g, those that the same annotator finds in what was drawn, with
              tolerance r: precision = share of E_g within r of E_h, recall = share of E_h within r of E_g
              (distances by the larger of the two coordinates), F1 = 2 P R / (P + R)    (Martin et al., 2004,
              10.1109/TPAMI.2004.1273918, without their matching one to one; r is 1 pixel, and theirs, 0.75 % of
              the diagonal, is 1.4 at 128 px)
    IoU       each pixel drawn is given the nearest of the hint's colours; |A and B| / |A or B| of each of them, the
              mean over the hint's colours
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.annotate import KINDS, annotate
from zoo.annotate.colours import clustered, painted, recognised
from zoo.errors import RequestError, Unsupported
from zoo.evaluate.captions import takes_text
from zoo.evaluate.measure import batches, captions_for, spread
from zoo.evaluate.metric import Metric, mean_and_se
from zoo.images import Images, from_uint8
from zoo.progress import progress

if TYPE_CHECKING:
    from zoo.model import Model

TOLERANCE = 1  # pixels
SHOWN = 8  # rows of the sheet


def edge_f1(hint: Tensor, drawn: Tensor, tolerance: int = TOLERANCE) -> Tensor:
    """(B,) of edges (B, 1, H, W), 0 or 1; 1 where neither has any, 0 where one alone has none."""
    near = [F.max_pool2d(each.double(), 2 * tolerance + 1, 1, tolerance) for each in (hint, drawn)]
    found = drawn.double().sum((1, 2, 3)), hint.double().sum((1, 2, 3))
    hits = (drawn * near[0]).sum((1, 2, 3)), (hint * near[1]).sum((1, 2, 3))
    precision, recall = (h / f.clamp(min=1) for h, f in zip(hits, found, strict=True))
    f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
    return torch.where((found[0] == 0) & (found[1] == 0), torch.ones_like(f1), f1)


def mean_iou(hint: Tensor, drawn: Tensor, classes: int) -> Tensor:
    """(B,) of label maps (B, H, W): the mean over the labels that the hint has."""
    one, other = (F.one_hot(each, classes).flatten(1, 2).double() for each in (hint, drawn))
    both, either = (one * other).sum(1), (one + other).clamp(max=1).sum(1)  # (B, K)
    there = one.sum(1) > 0
    return (both / either.clamp(min=1) * there).sum(1) / there.sum(1)


class Kept:
    """Hints of one kind made of pictures, and how well others keep to them: F1 of edges, IoU of colours."""

    def __init__(self, kind: str, tolerance: int = TOLERANCE, **options: Any) -> None:
        if kind not in ("edges", "sketch", "semantic"):
            known = ", ".join(each for each in KINDS if each in ("edges", "sketch", "semantic"))
            raise Unsupported(f"There is no measure of keeping to {kind}; there is of {known}.")
        self.kind, self.tolerance, self.options = kind, tolerance, options
        self.name = "mean IoU" if kind == "semantic" else "edge F1"

    def hints(self, images: Tensor) -> Tensor:
        """Of pictures (B, 3, H, W) in [-1, 1]: (B, 1 or 3, H, W) in [-1, 1]."""
        if self.kind != "semantic":
            return annotate(self.kind, images, **self.options).tensor
        self.labels, self.colours = clustered((images + 1) / 2, **self.options)
        return painted(self.labels, self.colours).clamp(0, 1) * 2 - 1

    def scores(self, hints: Tensor, drawn: Tensor) -> list[float]:
        """Of pictures (B, 3, H, W) drawn for the hints that were made last."""
        if self.kind == "semantic":
            found = recognised((drawn + 1) / 2, self.colours)
            return mean_iou(self.labels, found, self.colours.shape[1]).tolist()
        edges = annotate(self.kind, drawn, **self.options).tensor
        return edge_f1((hints > 0).double(), (edges > 0).double(), self.tolerance).tolist()


def trained_with(model: Model) -> dict[str, Any]:
    """The options of the annotator that made a ControlNet's hints in training; none without a recipe."""
    training = model.card.training
    if model.folder is None or training is None or training.recipe is None:
        return {}
    recipe = tomllib.loads((model.folder / training.recipe).read_text("utf-8"))
    return dict(recipe.get("objective", {}).get("annotate", {}))


def control_fidelity(
    model: Model,
    data: Any,
    count: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    *,
    name: str = "pictures given",
    command: str = "",
    sheet: Path | None = None,
    tolerance: int = TOLERANCE,
    **options: Any,
) -> list[Metric]:
    """How well a ControlNet's pictures keep to hints made of held-out pictures, and its base's without it.

    Args:
        model: of the family `controlnet`, with its base.
        data: held-out pictures, as `evaluate` takes them; with captions where the base takes text.
        count: pictures to take, spread evenly; by default all.
        batch_size: pictures at a time.
        seed: of the samples.
        name: of the set.
        command: the line that measures this again.
        sheet: where a PNG goes: the first pictures, their hints, and what was drawn with and without.
        tolerance: of edges, in pixels.
        options: of the annotator; by default those of the recipe in the model's card.

    Raises:
        Unsupported: a model that is no ControlNet, or of a kind without a measure.
        RequestError: a count that the set does not have. DataError: captions that are missing.
    """
    base = model.parts.get("base")
    if base is None or not hasattr(model.net, "control"):
        raise Unsupported(
            f"{model.name} is of the family {model.family!r}: keeping to a hint is measured "
            "of ControlNets and their base."
        )
    count = len(data) if count is None else count
    if not 1 <= count <= len(data):
        raise RequestError(f"count is 1 to {len(data):,} pictures here; got {count:,}.")
    kept = Kept(model.card.config["kind"], tolerance, **(trained_with(model) | options))
    texts = takes_text(base.card) and "text" not in model.request
    choose = captions_for(data, frozenset({"pictured"} if texts else ()))
    numbers, steps = spread(len(data), count), -(-count // batch_size)
    with_it: list[float] = []
    without: list[float] = []
    shown: list[Tensor] = []
    with torch.inference_mode():
        for step, some in enumerate(progress(batches(data, count, batch_size), steps, "drawing")):
            start = step * batch_size
            captions = choose(numbers[start : start + batch_size])
            asked = {"text": [row[0] for row in captions]} if texts else {}
            images = from_uint8(some).expand(-1, 3, -1, -1)
            hints = kept.hints(images)
            told = model.condition(**asked, **{kept.kind: hints})
            free = base.condition(**model.request, **asked) if asked or model.request else base
            drawn = [each.sample(len(some), seed=seed + step).tensor.cpu() for each in (told, free)]
            drawn = [each.expand(-1, 3, -1, -1).clamp(-1, 1) for each in drawn]
            with_it += kept.scores(hints, drawn[0])
            without += kept.scores(hints, drawn[1])
            shown.append(torch.stack([images, hints.expand(-1, 3, -1, -1), *drawn], dim=1))
    if sheet is not None:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        Images(torch.cat(shown)[:SHOWN].flatten(0, 1)).grid(4).save(sheet)
    return _metrics(model, kept, (with_it, without), count, name, command)


def _metrics(
    model: Model,
    kept: Kept,
    scores: tuple[Sequence[float], Sequence[float]],
    count: int,
    name: str,
    command: str,
) -> list[Metric]:
    note: dict[str, Any] = {"model": model.card.title, "base": model.parts["base"].card.title}
    note |= {"hints": kept.kind, **kept.options}
    if kept.kind != "semantic":
        note["tolerance"] = f"{kept.tolerance} px"
    found = []
    for what, values in zip(("", " without control"), scores, strict=True):
        mean, se = mean_and_se(list(values))
        found.append(Metric(f"{kept.name}{what}", mean, "", se, count, name, command, note))
    return found
