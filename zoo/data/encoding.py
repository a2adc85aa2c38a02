"""Pictures to tokens, once: `encode_set` writes what `zoo.data.tokens.TokenSet` reads.

Shard n holds pictures n * PER_SHARD and on, encoded in batches that begin where the shard begins. What a shard holds
is thus fixed by the set, the tokenizer and the batch; it is written under another name, flushed and renamed. So a run
that was killed goes on by making the shards that are not there, and ends in the same bytes as one that was not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from zoo import bulk
from zoo.data.containers import CONTAINERS, Row, rows_of
from zoo.data.storage import ABOUT
from zoo.data.tokens import FORMAT, shard_name
from zoo.errors import DataError, RequestError, listed, nearest

PER_SHARD = 1024  # pictures
SPLITS = ("train", "test")


class Span(NamedTuple):
    """A unit of work: pictures `first` to before `end` of a split, all of one shard."""

    split: str
    shard: int
    first: int
    end: int


@dataclass(frozen=True)
class Encoding:
    """The job: which tokenizer makes tokens of which pictures."""

    model: str
    data: str
    size: int
    flip: bool
    device: str | None
    dtype: str | None
    sets: dict[str, Any] = field(default_factory=dict, compare=False)  # split -> open set

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels without its sets: whoever it reaches opens them there."""
        return Encoding, (self.model, self.data, self.size, self.flip, self.device, self.dtype)

    def open(self) -> Callable[[Span], list[Row]]:
        """Load the tokenizer; the sets are opened as their first span comes."""
        import torch

        import zoo
        from zoo.data.opening import open_set
        from zoo.images import from_uint8

        dtype = getattr(torch, self.dtype) if self.dtype else None
        model = zoo.load(self.model, device=self.device, dtype=dtype)
        kind = "uint16" if (model.card.codes or 0) <= 2**16 else "int32"

        def work(span: Span) -> list[Row]:
            if span.split not in self.sets:
                self.sets[span.split] = open_set(self.data, span.split, self.size)
            pictures_of = self.sets[span.split]
            items = [pictures_of[index] for index in range(span.first, span.end)]
            pictures = from_uint8(torch.stack([item["image"] for item in items]))
            tokens = {"tokens": model.encode(pictures).cpu().numpy().astype(kind)}
            if self.flip:
                tokens["mirrored"] = model.encode(pictures.flip(-1)).cpu().numpy().astype(kind)
            facts = [{k: v for k, v in item.items() if k != "image"} for item in items]
            return list(rows_of(tokens, facts))

        return work


def encode_set(
    model: str,
    data: str,
    out: str | Path,
    *,
    splits: Sequence[str] = SPLITS,
    size: int | None = None,
    flip: bool = False,
    container: str = "webdataset",
    batch: int = 16,
    per_shard: int = PER_SHARD,
    device: str | None = None,
    dtype: str | None = None,
    ray: str | None = None,
) -> dict[str, Any]:
    """Turn a set's pictures into tokens in the folder `out`; what its data.json says.

    Args:
        model: the tokenizer, as `zoo.load` takes it.
        data: a built set's name, or the path of a folder or shards of pictures.
        out: the folder; one with the same encoding in it, finished or not, is gone on with.
        splits: which; more may be added by another call.
        size: pixels a side; the tokenizer's own by default.
        flip: the mirrored pictures' tokens as well, for recipes with `flip = true`.
        container: "webdataset" or "parquet".
        batch: pictures at a time.
        per_shard: pictures a file.
        device: where the tokenizer runs.
        dtype: "bfloat16" ..., of its weights.
        ray: "auto" or the address of a Ray cluster, to encode there; see `zoo.bulk`.

    Raises:
        RequestError: a model whose latents are no tokens, or another encoding in `out`.
        DataError: the set is not there, or has not that split or size.
    """
    from zoo.data.opening import open_set
    from zoo.hub import resolve

    if container not in CONTAINERS:
        raise RequestError(
            f"Tokens are kept as {listed(CONTAINERS)}; not {container!r}."
            f"{nearest(container, CONTAINERS)}"
        )
    card = resolve(model).card
    if card.latent_kind != "tokens" or card.latent is None:
        raise RequestError(
            f"{card.title} has {card.latent_kind} latents, and shards hold tokens. Tokenizers are "
            "listed by `zoo list 'vq*'`."
        )
    size, folder = size or card.image[-1], Path(out).expanduser()
    sets = {split: open_set(data, split, size) for split in splits}
    first = next((each[0] for each in sets.values() if len(each)), None)
    if first is None:
        raise DataError(f"{data} has no pictures in {listed(splits)}.")
    if "image" not in first:
        raise DataError(f"{data} holds tokens already; give the pictures that they were made from.")
    some = sets[splits[0]]
    plan = {
        "format": FORMAT,
        "name": str(getattr(some, "name", data)),
        "data": data,
        "licences": sorted(getattr(some, "licences", ())),
        "tokenizer": {
            "model": card.title,
            "weights": "+".join(card.weights),
            "codes": card.codes,
            "grid": [side * size // own for side, own in zip(card.latent, card.image[1:], strict=True)],
            "image": list(first["image"].shape),
        },
        "flip": flip,
        "container": container,
        "per_shard": per_shard,
        "batch": batch,
        "dtype": dtype or "float32",
    }  # fmt: skip
    names = (model, data) if ray is None else (bulk.absolute(model), bulk.absolute(data))
    job = Encoding(*names, size, flip, device, dtype, sets)
    counts = _begun(folder, plan)
    lengths = {split: len(pictures) for split, pictures in sets.items()}
    for split in (each for each in sets if each in counts and counts[each] != lengths[each]):
        raise DataError(
            f"{folder} has {counts[split]} pictures of {split!r}, {data} now has {lengths[split]}. "
            "Encode into another folder."
        )
    _write(job, folder, plan, {k: v for k, v in lengths.items() if k not in counts}, ray)
    counts |= lengths
    _tell(folder, plan, counts)
    return {**plan, "counts": counts}


def _begun(folder: Path, plan: Mapping[str, Any]) -> dict[str, int]:
    """How many pictures the finished splits have; the folder is ready to be written to."""
    path = folder / ABOUT
    if not path.is_file():
        if folder.exists() and any(folder.iterdir()):
            raise DataError(f"{folder} is not empty and holds no tokens. Give another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        _tell(folder, plan, {})
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        counts: dict[str, int] = about.pop("counts")
    except (ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{path} is no set of tokens: {error!r}. Give another folder.") from error
    other = [key for key in plan if about.get(key) != plan[key]]
    if other:
        both = "; ".join(f"{key} was {about.get(key)}, is {plan[key]}" for key in other)
        raise RequestError(
            f"{folder} holds another encoding: {both}. Ask for the same, or give another folder."
        )
    return counts


def _write(
    job: Encoding,
    folder: Path,
    plan: Mapping[str, Any],
    lengths: Mapping[str, int],
    ray: str | None,
) -> None:
    """Make the shards of these splits that are not there."""
    container, per_shard, batch = plan["container"], plan["per_shard"], plan["batch"]
    units, names = [], {}
    for split, length in lengths.items():
        for shard, start in enumerate(range(0, length, per_shard)):
            name = shard_name(split, shard, container)
            if (folder / name).is_file():
                continue
            end = min(start + per_shard, length)
            names[split, shard] = folder / name, start, end
            units += [
                Span(split, shard, first, min(first + batch, end))
                for first in range(start, end, batch)
            ]
    rows: list[Row] = []
    grid = tuple(plan["tokenizer"]["grid"])
    gpus = int((job.device or "cpu").startswith("cuda"))
    results = bulk.run(job, units, f"encoding {plan['name']}", ray, gpus)
    for span, made in zip(units, results, strict=True):
        if made[0].tokens.shape != grid:
            raise DataError(
                f"{job.model} makes {made[0].tokens.shape} tokens of pictures of {job.size} px, "
                f"and its card's latent says {grid}. Use the card's own size."
            )
        rows += made
        path, start, end = names[span.split, span.shard]
        if span.end == end:
            _put(path, CONTAINERS[container].pack(rows, start))
            rows = []


def _tell(folder: Path, plan: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    about = {**plan, "counts": dict(counts)}
    _put(folder / ABOUT, (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())


def _put(path: Path, data: bytes) -> None:
    """Write a file so that it is whole or not there, whatever happens."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
