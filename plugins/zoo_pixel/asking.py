"""What can be asked of a pixel model: a label, and pictures whose first rows are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo import options
from zoo.errors import RequestError
from zoo.images import Images
from zoo_pixel.net import Asked, PixelModel


def asked(net: PixelModel, request: Mapping[str, Any], batch: int) -> Asked:
    """`label`, or `prefix` and `rows`, or all; picture i takes entry i, one entry alone is for all.

    Raises RequestError for what is not known or does not fit the net.
    """
    wanted = options.read(request, "condition", label=None, prefix=None, rows=None)
    labels = None
    if wanted.label is not None:
        each = options.labels(wanted.label, net.inside.classes, batch)
        labels = torch.tensor(each, device=next(net.parameters()).device)
    found = Asked(
        labels, None if wanted.prefix is None else prefix(net, wanted.prefix, wanted.rows, batch)
    )
    if wanted.prefix is None and wanted.rows is not None:
        raise RequestError("rows says how much of `prefix` is given: give prefix=pictures as well.")
    return found


def prefix(net: PixelModel, given: Any, rows: Any, batch: int) -> Tensor:
    """(B, n) int64: the symbols of the first `rows` rows of pictures."""
    core = net.inside
    if not isinstance(rows, int) or isinstance(rows, bool) or not 0 < rows <= core.size:
        raise RequestError(
            f"prefix needs rows, how many rows of it are given, 1 to {core.size}; got {rows!r}."
        )
    if rows % core.rows:
        raise RequestError(
            f"This net draws {core.rows} rows at a time: rows must be a multiple of {core.rows}, "
            f"is {rows}."
        )
    like = next(net.parameters())
    images = Images.read(given, core.channels).tensor.to(like.device, like.dtype)
    images = images.clone()
    images[:, :, rows:] = -1  # not read; any picture will do
    symbols = net.symbols(images)[:, : core.length * rows // core.size]
    return torch.stack(options.one_each(tuple(symbols), batch, "prefix"))
