"""Samples by the thousand, into a folder: in batches, over Ray if asked, going on where it stopped.

Batch k of a run with seed s is what `Model.sample(n, seed=derive(s, k))` draws, wherever it is drawn; picture i of the
folder thus depends on (s, i) and the size of the batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from zoo import bulk, rng
from zoo.errors import RequestError

PLAN = "samples.json"


class Lot(NamedTuple):
    """A unit of work: batch number `place`, of `size` pictures."""

    place: int
    size: int


@dataclass(frozen=True)
class Drawing:
    """The job: which model draws, asked for what and how."""

    model: str
    seed: int
    request: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    dtype: str | None = None

    def open(self) -> Callable[[Lot], Any]:
        """Load the model; a lot becomes a uint8 array (size, H, W, C)."""
        import torch

        import zoo

        dtype = getattr(torch, self.dtype) if self.dtype else None
        model = zoo.load(self.model, device=self.device, dtype=dtype)
        model = model.condition(**self.request) if self.request else model

        def work(lot: Lot) -> Any:
            seed = rng.derive(self.seed, lot.place)
            return model.sample(lot.size, seed=seed, **self.options).uint8()

        return work


def draw(
    job: Drawing, count: int, out: str | Path, batch: int = 16, ray: str | None = None
) -> list[Path]:
    """Draw `count` pictures into the folder `out` as 000000.png, ...; their files.

    Batches whose files are there are not drawn again. Raises RequestError for a folder that holds
    samples of something else, and as `Model.sample` does.
    """
    from zoo.images import Images, from_uint8

    folder = Path(out)
    plan = {**asdict(job), "batch": batch}
    told = folder / PLAN
    if told.is_file():
        before = json.loads(told.read_text(encoding="utf-8"))
        other = [key for key in plan if before.get(key) != plan[key]]
        if other:
            both = "; ".join(f"{key} was {before.get(key)}, is {plan[key]}" for key in other)
            raise RequestError(
                f"{folder} holds other samples: {both}. Ask for the same, or give another folder."
            )
    elif folder.exists() and any(folder.iterdir()):
        raise RequestError(f"{folder} is not empty and holds no samples. Give another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    told.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
    lots = [
        Lot(place, min(batch, count - first)) for place, first in enumerate(range(0, count, batch))
    ]
    files = {
        lot: [folder / f"{lot.place * batch + i:06d}.png" for i in range(lot.size)] for lot in lots
    }
    missing = [lot for lot in lots if not all(file.is_file() for file in files[lot])]
    gpus = int((job.device or "cpu").startswith("cuda"))
    for lot, pixels in zip(missing, bulk.run(job, missing, "sample", ray, gpus), strict=True):
        import torch

        pictures = Images(from_uint8(torch.from_numpy(pixels).permute(0, 3, 1, 2))).pil()
        for file, picture in zip(files[lot], pictures, strict=True):
            unfinished = file.with_name(f".{file.name}")
            picture.save(unfinished, "PNG")
            unfinished.replace(file)
    return [file for lot in lots for file in files[lot]]
