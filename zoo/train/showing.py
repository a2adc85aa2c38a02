"""A sheet that shows what a fine-tuning did: held-out pictures, what the base makes of them, what came of it.

A model that draws is asked for what the pictures say, their captions, labels or hints, with the same seed before and
after; one that does not makes each picture again from its latents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.images import Images
from zoo.model import Model
from zoo.train.few import reads_text

SHOWN = 4  # pictures in a row


def sheet(
    held: Any, models: Sequence[Model], kind: str, path: Path, seed: int = 0, like: str = ""
) -> Path:
    """Write the sheet: a row of held-out pictures, one of hints if there are any, and one a model.

    `kind` is the annotator of a ControlNet's hints, else ""; a model with other labels than the last one's is asked for
    none, and for `like` in place of words that the last one learned. Raises as `sample` and `encode` do.
    """
    items = [held[number] for number in range(min(SHOWN, len(held)))]
    images = torch.stack([item["image"] for item in items]).float() / 127.5 - 1
    rows = [images]
    hints: dict[str, Any] = {}
    if kind:
        from zoo.annotate import annotate

        hint = annotate(kind, images).tensor
        hints = {models[-1].net.kind: hint}  # type: ignore[dict-item]
        rows.append(hint.expand_as(images))
    last = models[-1].card
    for model in models:
        told = hints if model.family == "controlnet" else {}
        labels = model.card.labels == last.labels
        asked = items
        if last.adapter is not None and last.adapter.words and model.card.adapter is None:
            asked = [_known(item, last.adapter.words, like) for item in items]
        rows.append(_made(model, asked, images, told, seed, labels).to(images).clamp(-1, 1))
    shown = Images(torch.cat(rows))
    shown.save(path, columns=len(items))
    return path


def again(held: Any, model: Model, most: int = 64) -> tuple[float, int]:
    """Mean PSNR in dB of held-out pictures that a model makes again from their latents, and of how many."""
    from zoo.evaluate.fidelity import psnr

    found = []
    for number in range(min(most, len(held))):
        given = held[number]["image"][None]
        made = model.decode(model.encode(given.float() / 127.5 - 1)).tensor
        found.append(psnr(given, levels(made)).item())
    return sum(found) / len(found), len(found)


def levels(images: Tensor) -> Tensor:
    """(B, C, H, W) in [-1, 1] as grey levels, uint8."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()


def _known(item: Mapping[str, Any], words: Sequence[str], like: str) -> dict[str, Any]:
    """An item whose caption says `like` for each of `words`."""
    caption = item["caption"]
    for word in words:
        caption = caption.replace(word, like)
    return {**item, "caption": caption}


def _made(
    model: Model,
    items: Sequence[Mapping[str, Any]],
    images: Tensor,
    told: Mapping[str, Any],
    seed: int,
    labels: bool,
) -> Tensor:
    if "sample" not in model.card.hooks:
        return model.decode(model.encode(images)).tensor
    request = dict(told)
    of = model.parts["base"].card if told else model.card
    if reads_text(of):
        request["text"] = [item["caption"] for item in items]
    elif labels and of.config.get("classes") and all("label" in item for item in items):
        request["label"] = [int(item["label"]) for item in items]
    asked = model.condition(**request) if request else model
    return asked.sample(len(items), seed=seed).tensor
