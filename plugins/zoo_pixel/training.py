"""What training a pixel model minimises: -log p(x | y) / (C H W ln 2), bits a dimension, by teacher forcing.

Every conditional of a picture is computed in one pass over the true picture. A net with classes is trained with the
label always: without one its p(x) is the mean of p(x | y), see `zoo_pixel.net`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, prod
from typing import Any

from torch import Tensor

from zoo.errors import RequestError
from zoo.train.objective import Batch, Objective
from zoo_pixel.net import PixelModel


def objectives(net: PixelModel, table: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective; the recipe's [objective] has no keys."""
    if table:
        raise RequestError(f"[objective] of a pixel model is empty; got {', '.join(table)}.")
    core = net.inside

    def likelihood(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        images = batch["images"]
        if core.classes and "labels" not in batch:
            raise RequestError(
                f"the net has {core.classes} classes and the pictures no labels: train it on a set with "
                "labels, or leave out `classes`."
            )
        labels = batch["labels"] if core.classes else None
        nats = -core.log_prob(net.symbols(images), labels).mean()
        return nats / (prod(images.shape[1:]) * log(2)), {"nats": nats.detach()}

    return [Objective("likelihood", list(net.parameters()), likelihood)]
