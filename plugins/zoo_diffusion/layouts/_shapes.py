"""Reading an architecture off the names and shapes of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.errors import ForeignError

Keys = Mapping[str, tuple[int, ...]]


def indices(keys: Keys, prefix: str) -> set[int]:
    """The numbers n for which something is called prefix + n + "."."""
    starts = {key[len(prefix) :].partition(".")[0] for key in keys if key.startswith(prefix)}
    return {int(each) for each in starts if each.isdigit()}


def need(keys: Keys, *names: str) -> None:
    """Raise ForeignError for the first of `names` that is not there."""
    for name in names:
        if name not in keys:
            raise ForeignError(f"the checkpoint lacks {name}; it is incomplete")


def agree(what: str, config: Any, shapes: Any) -> None:
    """Raise ForeignError when configuration and shapes differ; None in the configuration says nothing."""
    if config is not None and _plain(config) != _plain(shapes):
        raise ForeignError(
            f"the configuration says {what} is {config}, the tensors say {shapes}: the two do not belong together"
        )


def one(values: Sequence[str]) -> str | list[str]:
    """The value that all are, or all of them; "conv" of none."""
    kinds = set(values)
    return list(values) if len(kinds) > 1 else kinds.pop() if kinds else "conv"


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
