"""Bars for what takes longer than a second, shown only where someone watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
DELAY = 1.0  # seconds before a bar appears


def watched() -> bool:
    """Whether bars are shown: on a terminal, unless ZOO_PROGRESS is 0; always if it is 1."""
    chosen = os.environ.get("ZOO_PROGRESS")
    return chosen != "0" if chosen in ("0", "1") else sys.stderr.isatty()


def progress(iterable: Iterable[T], total: int | None = None, label: str = "") -> Iterator[T]:
    """Go through `iterable` with a bar on stderr, if it takes long and someone watches."""
    if not watched():
        yield from iterable
        return
    from tqdm import tqdm

    yield from tqdm(
        iterable, total=total, desc=label or None, delay=DELAY, leave=False, file=sys.stderr
    )


@contextmanager
def counted(total: int, done: int = 0, label: str = "") -> Iterator[Callable[[int], object]]:
    """A bar of bytes that is moved on by calling what this gives, if it takes long and is watched."""
    if not watched():
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(
        total=total, initial=done, desc=label or None, delay=DELAY, leave=False, file=sys.stderr,
        unit="B", unit_scale=True,
    ) as bar:  # fmt: skip
        yield bar.update
