"""Recognising published layouts, for `adopt`: which one it is, and the architecture off names and shapes."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption
from zoo.errors import ForeignError

Keys = Mapping[str, tuple[int, ...]]  # name of a tensor -> its shape


def recognised(package: str, keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """What the one module of `package` that recognises the checkpoint says; None if none does.

    A family keeps one module a published layout, each with
    `adopt(keys, config) -> Adoption | None`: None unless the checkpoint is of its layout. Modules
    whose names begin with an underscore are not asked.

    Raises:
        ForeignError: two layouts recognise it; or one does, but its configuration and its tensors
            disagree or ask for something that is not supported.
    """
    found = []
    paths = importlib.import_module(package).__path__
    for info in sorted(pkgutil.iter_modules(paths), key=lambda each: each.name):
        if not info.name.startswith("_"):
            answer = importlib.import_module(f"{package}.{info.name}").adopt(keys, config)
            if answer is not None:
                found.append(answer)
    if len(found) > 1:
        names = " and ".join(each.layout for each in found)
        raise ForeignError(f"the checkpoint fits {names}; one of them is too loose")
    return found[0] if found else None


def indices(keys: Keys, prefix: str) -> set[int]:
    """The numbers n for which something is called prefix + n + "."."""
    starts = {key[len(prefix) :].partition(".")[0] for key in keys if key.startswith(prefix)}
    return {int(each) for each in starts if each.isdigit()}


def count(keys: Keys, prefix: str) -> int:
    """How many of prefix0., prefix1., ... there are, without gaps."""
    there, number = indices(keys, prefix), 0
    while number in there:
        number += 1
    return number


def need(keys: Keys, *names: str) -> None:
    """Raise ForeignError for the first of `names` that is not there."""
    for name in names:
        if name not in keys:
            raise ForeignError(f"the checkpoint lacks {name}; it is incomplete")


def agree(what: str, config: Any, shapes: Any) -> None:
    """Raise ForeignError when configuration and shapes differ; a configuration of None says nothing."""
    if config is not None and _plain(config) != _plain(shapes):
        raise ForeignError(
            f"the configuration says {what} is {config}, the tensors say {shapes}: "
            "the two do not belong together"
        )


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
