"""Is it copying? How near samples are to training pictures, beside how near held-out pictures are.

    d(x) = min over training pictures t of |f(x) - f(t)|,      f: 1280 features of EfficientNetLite2

A model that makes up pictures is about as far from its training set as held-out pictures are; one that
remembers is nearer. Let q be the distance below which lies a twentieth of the held-out pictures: of samples
that are no copies about 5 % lie below q, too (Meehan et al., 2020, arXiv:2004.05675, compare the same two
distributions by a rank test). Where the held-out pictures are variants of training ones (one concept in two
drawing styles) both are near, which is why neither number stands alone. The sheet shows the nearest pairs:
look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.errors import RequestError
from zoo.evaluate.captions import takes_text
from zoo.evaluate.features import NAME, EfficientNetLite2
from zoo.evaluate.measure import asked, batches, captions_for, made, spread
from zoo.evaluate.metric import Metric, mean_and_se
from zoo.images import Images, from_uint8
from zoo.progress import progress

if TYPE_CHECKING:
    from zoo.model import Model

ROWS = 256  # samples whose distances are laid out at once
SHOWN = 32  # pairs on the sheet, the nearest
QUANTILE = 0.05


def nearest(features: Tensor, training: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of each of (N, D) to the nearest of (M, D), and which that is: (N,) each.

    Differences are taken before squares, so that an exact copy is at 0.
    """
    found = [
        torch.cdist(
            features[start : start + ROWS], training, compute_mode="donot_use_mm_for_euclid_dist"
        ).min(1)
        for start in range(0, len(features), ROWS)
    ]
    return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])


def copying(
    model: Model,
    data: Any,
    training: Any,
    count: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    *,
    names: tuple[str, str] = ("pictures given", "training pictures"),
    command: str = "",
    sheet: Path | None = None,
    features: Callable[[Tensor], Tensor] | None = None,
) -> list[Metric]:
    """Distances to the nearest training picture, of samples and of held-out pictures.

    Args:
        model: one that samples; given the held-out captions if it takes text.
        data: held-out pictures, as `evaluate` takes them; as many samples are drawn.
        training: the pictures it was trained on, all of which are compared.
        count: held-out pictures to take, spread evenly; by default all.
        batch_size: pictures at a time.
        seed: of the samples.
        names: of the two sets.
        command: the line that measures this again.
        sheet: where the nearest pairs go as a PNG: a sample, and beside it the training picture.
        features: uint8 pictures (B, C, H, W) to (B, D); by default EfficientNetLite2's.

    Raises:
        RequestError: a count that the set does not have. DataError: weights, captions that are missing.
        Unsupported: a model that does not sample.
    """
    count = len(data) if count is None else count
    if not 2 <= count <= len(data):
        raise RequestError(f"count is 2 to {len(data):,} pictures here; got {count:,}.")
    model.hooks.need("sample")
    look = features or EfficientNetLite2().to(model.device)
    captioned = takes_text(model.card) and "text" not in model.request
    needs = frozenset({"pictured" if captioned else "samples"})
    choose, numbers = captions_for(data, needs), spread(len(data), count)
    held, drawn, pictures = [], [], []
    steps = -(-count // batch_size)
    with torch.inference_mode():
        for step, some in enumerate(progress(batches(data, count, batch_size), steps, "drawing")):
            start = step * batch_size
            captions = choose(numbers[start : start + batch_size])
            batch = made(model, some, needs, seed + step, start, captions)
            pictures.append(batch.need(*needs))
            held.append(look(some.to(model.device)).cpu())
            drawn.append(look(pictures[-1].to(model.device)).cpu())
        known = torch.cat(
            [look(some.to(model.device)).cpu() for some in _all(training, batch_size)]
        )
        mine, which = nearest(torch.cat(drawn), known)
        theirs, _ = nearest(torch.cat(held), known)
    if sheet is not None:
        _show(torch.cat(pictures), training, mine, which, sheet)
    edge = torch.quantile(theirs.double(), QUANTILE)
    near, near_se = mean_and_se((mine.double() < edge).double().tolist())
    note = {
        "model": model.card.title, "features": NAME if features is None else "given",
        "training": names[1], "training pictures": len(training), "batch_size": batch_size,
        "edge": float(edge), "by chance": f"{100 * QUANTILE:g} %",
    }  # fmt: skip
    readings = (
        ("nearest training picture of samples", *mean_and_se(mine.double().tolist()), ""),
        ("nearest training picture of held-out", *mean_and_se(theirs.double().tolist()), ""),
        ("samples nearer than held-out", 100 * near, 100 * (near_se or 0.0), "%"),
    )
    given = asked(model.request)
    return [
        Metric(name + given, value, unit, se, count, names[0], command, note)
        for name, value, se, unit in readings
    ]


def _all(training: Any, size: int) -> Iterator[Tensor]:
    steps = -(-len(training) // size)
    yield from progress(batches(training, len(training), size), steps, "training pictures")


def _show(pictures: Tensor, training: Any, far: Tensor, which: Tensor, path: Path) -> None:
    order = far.argsort()[:SHOWN].tolist()
    items = [training[int(which[n])] for n in order]
    rows = [item if isinstance(item, Tensor) else item["image"] for item in items]
    pairs = [each for n, row in zip(order, rows, strict=True) for each in (pictures[n], row)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Images(from_uint8(torch.stack(pairs))).grid(8).save(path)
