"""Pictures while they are drawn, as the sampling options preview, preview_to and on_preview ask for them.

preview     every how many rows of tokens, or answers of a diffusion model's net
preview_to  the file they are written to, over those before
on_preview  a function of the pictures so far and of how many rows or answers there are
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.errors import RequestError
from zoo.images import Images

Seen = Callable[[Images, int], object]
OPTIONS: Mapping[str, Any] = {"preview": 0, "preview_to": None, "on_preview": None}


@dataclass(frozen=True)
class Previews:
    """What is done with the pictures so far (n, C, H, W) in [-1, 1], `every` so often. Raises RequestError."""

    every: int = 0
    to: str | os.PathLike[str] | None = None
    seen: Seen | None = None

    def __post_init__(self) -> None:
        if self.every < 0:
            raise RequestError(
                f"preview is every how many rows of tokens or steps of diffusion; got {self.every}."
            )
        if self.seen is not None and not callable(self.seen):
            raise RequestError(
                "on_preview is a function of pictures and how many rows or steps there are, not "
                f"{type(self.seen).__name__}."
            )
        if (self.to is not None or self.seen is not None) and not self.every:
            raise RequestError(
                "preview_to and on_preview need preview, every how many rows of tokens or steps of diffusion."
            )
        if self.every and self.to is None and self.seen is None:
            raise RequestError(
                "preview needs somewhere to go: preview_to='growing.png', or on_preview=a function of pictures "
                "and rows or steps."
            )

    def due(self, place: int) -> bool:
        """Whether pictures are wanted after `place` rows or steps."""
        return bool(self.every and place and place % self.every == 0)

    def show(self, pictures: Images, place: int) -> None:
        """Give them."""
        if self.to is not None:
            pictures.save(self.to)
        if self.seen is not None:
            self.seen(pictures, place)
