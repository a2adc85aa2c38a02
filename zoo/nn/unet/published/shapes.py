"""One option for all levels, or one for each."""

from __future__ import annotations

from collections.abc import Sequence


def one(values: Sequence[str]) -> str | list[str]:
    """The value that all are, or all of them; "conv" of none."""
    kinds = set(values)
    return list(values) if len(kinds) > 1 else kinds.pop() if kinds else "conv"
