"""A set of tokens on disk: pictures that a tokenizer has turned into integers once, for every epoch to come.

    OUT/data.json            the tokenizer (name@version, sha256 of its weights, grid, codes), the set it was made from,
                             how many pictures each finished split has
    OUT/train-00000.tar ...  pictures 0 .. 1023 of the split, 1024 .. 2047, ... (or .parquet); see `zoo.data.containers`

`zoo encode TOKENIZER --data SET --shards OUT` writes one. Tokens mean nothing without the tokenizer that made them: a
model is trained on them with that one alone.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from zoo.data.containers import CONTAINERS
from zoo.data.storage import ABOUT
from zoo.errors import DataError, listed

FORMAT = "genzoo-tokens-1"


def is_tokens(folder: Path) -> bool:
    """Whether a folder holds a set of tokens, perhaps one that is not finished."""
    try:
        return bool(json.loads((folder / ABOUT).read_text("utf-8"))["format"] == FORMAT)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def shard_name(split: str, number: int, container: str) -> str:
    """The file of a split's shard: "train-00003.tar"."""
    return f"{split}-{number:05d}{CONTAINERS[container].suffix}"


class TokenSet:
    """A split of a set of tokens.

    Item i is a dict of tokens int64 (h, w), name, and caption and label if there are any; a set
    that was encoded with --flip also has mirrored int64 (h, w), the tokens of the mirrored picture.

    Attributes:
        name, licences: of the pictures that the tokens were made from.
        tokenizer: "model" (name@version), "weights" (sha256), "grid", "codes", "image" (C, H, W).

    Raises DataError: a split that is not there or not finished, files missing or damaged, another
    size than the pictures had.
    """

    def __init__(self, folder: Path, split: str, size: int | None = None) -> None:
        self.folder, self.split = folder, split
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            self.tokenizer: Mapping[str, Any] = about["tokenizer"]
            self.name, self.licences = str(about["name"]), tuple(about["licences"])
            self.flip, container = bool(about["flip"]), CONTAINERS[about["container"]]
            each, counts = int(about["per_shard"]), dict(about["counts"])
            height, width = self.tokenizer["grid"]
            self.image: tuple[int, ...] = tuple(self.tokenizer["image"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{folder / ABOUT} cannot be read: {error!r}. Encode the set again."
            ) from error
        if split not in counts:
            begun = any(folder.glob(f"{split}-*{container.suffix}"))
            raise DataError(
                f"{folder} has no tokens of the split {split!r}; it has {listed(counts)}. "
                + ("It was begun: run the same" if begun else f"Add --split {split} to its")
                + f" `zoo encode {self.tokenizer['model']} --data {about['data']} --shards "
                f"{folder}`."
            )
        if size is not None and size not in self.image[1:]:
            raise DataError(
                f"{folder} holds tokens of pictures of {self.image[2]} x {self.image[1]} px, not "
                f"{size}."
            )
        shards = -(-counts[split] // each)
        names = [shard_name(split, number, about["container"]) for number in range(shards)]
        self.shards = [container.open(folder / name, (height, width)) for name in names]
        self.ends = list(accumulate(map(len, self.shards)))
        if (self.ends or [0])[-1] != counts[split]:
            raise DataError(
                f"{folder} has {(self.ends or [0])[-1]} pictures in {split!r}, its {ABOUT} says "
                f"{counts[split]}. Encode the set again."
            )

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        shard = bisect.bisect_right(self.ends, index)
        before = self.ends[shard - 1] if shard else 0
        row = self.shards[shard][index - before]
        item = {**row.facts, "tokens": torch.from_numpy(row.tokens.astype("int64"))}
        if row.mirrored is not None:
            item["mirrored"] = torch.from_numpy(row.mirrored.astype("int64"))
        return item
