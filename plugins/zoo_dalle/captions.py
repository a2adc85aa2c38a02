"""Features of a caption as LlamaGen takes them (Sun et al., 2024, arXiv:2406.06525; its repository, MIT).

    x = W_2 gelu(W_1 f),        f (L, D) of a T5 encoder, or the learned `absent` (120, D) for no caption

The gelu is the approximation by tanh; neither layer has a bias. What is asked is `features`, tensors (L, D) or
(B, L, D), of which the repository gives as many as there are positions, the caption's last.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import RequestError


class Captions(nn.Module):
    """Features (B, L, D) to (B, L, C); NaN stands for no caption."""

    asks: ClassVar[str] = "features"
    predicts: ClassVar[bool] = False
    ids: ClassVar[int] = 0
    null: ClassVar[bool] = True
    absent: Tensor

    def __init__(self, width: int, null: bool, length: int, features: int, rows: int = 120) -> None:
        super().__init__()
        if rows < length:
            raise ValueError(
                f"captions of {length} positions need as many rows for none; there are {rows}"
            )
        self.length, self.features = length, features
        self.inward = nn.Linear(features, width, bias=False)
        self.outward = nn.Linear(width, width, bias=False)
        self.register_buffer("absent", torch.randn(rows, features) * features**-0.5)

    def embed(self, given: Tensor) -> Tensor:
        """(B, L, D) to (B, L, C)."""
        void = given.isnan().any(-1, keepdim=True)
        found = torch.where(void, self.absent[: given.shape[1]].to(given), given)
        out: Tensor = self.outward(
            F.gelu(self.inward(found.to(self.inward.weight)), approximate="tanh")
        )
        return out

    def nothing(self, batch: int) -> Tensor:
        """No caption, (B, L, D)."""
        return torch.full((batch, self.length, self.features), torch.nan)


def features(given: Any, length: int, width: int) -> Tensor:
    """What was asked as features, (B, L, D). Raises RequestError for another shape."""
    found = torch.as_tensor(given)
    found = found[None] if found.ndim == 2 else found
    if found.ndim != 3 or found.shape[1:] != (length, width) or not found.is_floating_point():
        raise RequestError(
            f"features of a caption are numbers (B, {length}, {width}); got {found.dtype} {tuple(found.shape)}."
        )
    return found
