"""`zoo eval NAME NAME ...`: several models, measured one after the other and put into one report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from itertools import chain
from typing import Any

import torch

from zoo.errors import RequestError
from zoo.evaluate.command import Report, run
from zoo.evaluate.gauges import gauges_of
from zoo.loading import load


def run_all(names: Sequence[str | os.PathLike[str]], **options: Any) -> Report:
    """`run` for one model after the other; the report's text is one table of all.

    Args:
        names: of the models.
        options: those of `run`, for each of them; without `data` each is measured on its own set.

    Raises as `run` does; a model that cannot give a metric is told of before any is measured.
    """
    if len(names) == 1:
        return run(names[0], **options)
    if options.get("codecs"):
        raise RequestError("Image codecs are compared with one model at a time: name one.")
    for name in names:
        gauges_of(tuple(options.get("metrics") or ()), load(name).card, torch.device("cpu"))
    reports = [run(name, **options) for name in names]
    whole: dict[str, Any] = {
        each.name: [getattr(report, each.name) for report in reports] for each in fields(Report)
    }
    texts = [each for each in whole.pop("markdown") if each]
    joined = {name: tuple(chain(*parts)) for name, parts in whole.items()}
    return Report(**joined, markdown="\n\n".join(texts))
