"""What a user asks for (a hook's `options`, `request` or `recipe`), held against what a family knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, TypeVar

from zoo.errors import RequestError, nearest

T = TypeVar("T")


def read(given: Mapping[str, Any], what: str, /, **defaults: Any) -> SimpleNamespace:
    """`given` with `defaults` for what it lacks, as attributes.

    `what` is the kind of thing in the message: "sampling option", "condition". Raises RequestError
    for a name that has no default, and for a value of another kind than its default (a text where a
    number is meant); a default of None takes anything.

        chosen = options.read(options_given, "sampling option", steps=50, temperature=1.0)
        chosen.steps
    """
    for name, value in given.items():
        if name not in defaults:
            raise RequestError(
                f"There is no {what} {name!r}.{nearest(name, defaults)} Known: "
                f"{', '.join(defaults) or 'none'}."
            )
        wanted = type(defaults[name])
        fits = (
            isinstance(value, wanted) or (wanted is float and type(value) is int) or value is None
        )
        if defaults[name] is not None and (not fits or (wanted is int and isinstance(value, bool))):
            raise RequestError(
                f"The {what} {name} must be {wanted.__name__} (its default is {defaults[name]!r}), "
                f"is {value!r}."
            )
    return SimpleNamespace(
        **{**defaults, **{name: value for name, value in given.items() if value is not None}}
    )


def settings(kind: type[T], given: Mapping[str, Any], what: str, /) -> T:
    """The dataclass `kind` with the values of `given`, its own defaults for the others.

    `what` begins the message: "[objective] of a VAE". Raises RequestError for a name that `kind`
    does not have; what the values may be is for `kind` to say.
    """
    known = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            raise RequestError(
                f"{what} has no {name!r}.{nearest(name, known)} It has {', '.join(known)}."
            )
    return kind(**given)
