"""The best of several candidates for a picture, by a score that is larger for a better one.

    "likelihood"   log p(t | c) of the tokens that were drawn, by the model itself, unguided and at temperature 1
    a Model        its log_prob of the picture (a classifier in disguise: p(picture | "a red apple"))
    a callable     of pictures (n, C, H, W) in [-1, 1], to n numbers

(Ramesh et al., 2021, arXiv:2102.12092, 2.6, draw 512 and let CLIP choose.) Letters: B pictures of m candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.errors import RequestError
from zoo.images import Images
from zoo.model import Model

if TYPE_CHECKING:
    from zoo_dalle.net import DalleModel

Scorer = Callable[[Images], Any]
LIKELIHOOD = "likelihood"


def scorer(given: Any, best_of: int) -> str | Model | Scorer | None:
    """What was asked as `rerank`, the likelihood if nothing was; None where there is nothing to choose from.

    Raises RequestError.
    """
    if best_of < 1:
        raise RequestError(
            f"best_of is how many candidates to draw for a picture, 1 or more; got {best_of}."
        )
    if best_of == 1:
        if given is not None:
            raise RequestError(
                "rerank chooses among candidates: give best_of, how many of them to draw."
            )
        return None
    if given is None or given == LIKELIHOOD:
        return LIKELIHOOD
    if isinstance(given, Model) or callable(given):
        return given  # type: ignore[no-any-return]
    raise RequestError(
        f"rerank is 'likelihood', a model of the zoo (zoo.load(...)), or a function of pictures; got {given!r}."
    )


def best(
    net: DalleModel, by: str | Model | Scorer, tokens: Tensor, likelihood: Tensor, times: int
) -> Tensor:
    """(B m, T) tokens to the best of each picture's m candidates (B, T); the first of equals.

    Raises RequestError for scores that are not one finite number a picture.
    """
    if by == LIKELIHOOD:
        scores = likelihood
    else:
        pictures = Images(net.pictures(tokens).clamp(-1, 1))
        found = by.log_prob(pictures, seed=0).nats if isinstance(by, Model) else by(pictures)  # type: ignore[operator]
        scores = torch.as_tensor(found, dtype=torch.float64).flatten().to(tokens.device)
    if len(scores) != len(tokens) or bool(scores.isnan().any()):
        raise RequestError(
            f"rerank must give one number for each of {len(tokens)} pictures; it gave {len(scores)}, "
            f"{int(scores.isnan().sum())} of them not a number."
        )
    chosen = scores.view(-1, times).argmax(-1)  # (B,)
    return tokens.view(-1, times, tokens.shape[1])[torch.arange(len(chosen)), chosen]
