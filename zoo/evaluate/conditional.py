"""log p(x_i | c) of pictures under several conditions each, for Bayes' rule and choices among captions.

Of a model of tokens whose net scores symbols (`zoo.nn.coding.Scored`) the tokens of a picture are found
once, and pairs of picture and condition go through the net many at a time, whatever their pictures.
Any other model gives its log_prob condition by condition, each with the same random numbers, so that
noise common to all cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.checking import answered, images_for
from zoo.errors import RequestError
from zoo.model import Model
from zoo.nn.coding import Scored
from zoo.options import implied

PAIRS = 128  # of picture and condition in one call of the net, at most
MOST = 1 << 23  # numbers in the distributions of one call: 32 MiB of float32


def nats_given(
    model: Model, images: Any, key: str, rows: Sequence[Sequence[Any]], seed: int | None = None
) -> Tensor:
    """Log p(x_i | key=rows[i][k]) in nats, (B, K) float64 on the CPU.

    Args:
        model: other conditions that it was given hold for all pictures.
        images: B pictures, as `Model.log_prob` takes them.
        key: of the request: "text", "label".
        rows: K conditions for each picture.
        seed: of a log_prob that draws.

    Raises:
        Unsupported, RequestError, ImageError: as `Model.condition` and `Model.log_prob` do.
        RequestError: a model that was already asked for something a picture.
    """
    taken = images_for(model.card, images)
    if len(rows) != len(taken):
        raise RequestError(f"{len(rows)} rows of {key}s for {len(taken)} pictures; give each one.")
    if model.density.over != "tokens" or not isinstance(model.net, Scored):
        return _by_column(model, taken, key, rows, seed)
    others = {name: value for name, value in model.request.items() if name != key}
    if implied(others) > 1:
        raise RequestError(
            f"{', '.join(others)}: a list of one a picture; to compare {key}s give one for all pictures."
        )
    flat = [(place, value) for place, row in enumerate(rows) for value in row]
    at_once = max(1, min(PAIRS, MOST // (model.net.length * model.net.alphabet)))
    parts = []
    with torch.no_grad():
        symbols = model.net.symbols(taken.to(model.device, model.dtype))
        for start in range(0, len(flat), at_once):
            some = flat[start : start + at_once]
            places = torch.tensor([place for place, _ in some], device=symbols.device)
            values = [value for _, value in some]
            asked = model.condition(**{key: values if len(some) > 1 else values[0]})
            nats = model.net.log_likelihood(symbols[places], asked._cond(len(some)))
            told = answered(model.card, model.hooks.who("log_prob"), "log_prob", nats, len(some))
            parts.append(told.double().cpu())
    return torch.cat(parts).view(len(rows), -1)


def _by_column(
    model: Model, images: Tensor, key: str, rows: Sequence[Sequence[Any]], seed: int | None
) -> Tensor:
    found = []
    for column in zip(*rows, strict=True):
        alike = all(value == column[0] for value in column)
        asked = model.condition(**{key: column[0] if alike else list(column)})
        found.append(asked.log_prob(images, seed=seed).nats.double().cpu())
    return torch.stack(found, 1)
