"""What a user asks for (a hook's `options`, `request` or `recipe`), held against what a family knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, TypeVar

from zoo.errors import RequestError, nearest

T = TypeVar("T")
CHANNELS = (1, 3, 4)  # of a picture
CONTROLS = ("control", "weight", "interval")  # of a request: one for each ControlNet, not picture


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


def labels(given: Any, classes: int, batch: int) -> tuple[int, ...]:
    """One class for each of `batch` pictures from what was asked as `label`: an int, or a list or tensor of them.

    Raises RequestError for a model without classes, a class that does not exist, and what `one_each` does.
    """
    if not classes:
        raise RequestError(
            f"label = {given!r}: this model was made without labels (`classes` in its card's config), so it has "
            "only p(x). Leave the label out."
        )
    listed = given.tolist() if hasattr(given, "tolist") else given
    several = isinstance(listed, Sequence) and not isinstance(listed, str)
    entries = tuple(listed) if several else (listed,)
    for entry in entries:
        if not isinstance(entry, int) or isinstance(entry, bool) or not 0 <= entry < classes:
            raise RequestError(
                f"label is a whole number, 0 .. {classes - 1}, or a list of one a picture; got {entry!r}."
            )
    return one_each(entries, batch, "label")


def one_each(entries: tuple[T, ...], batch: int, what: str) -> tuple[T, ...]:
    """`batch` entries: one alone is for all, else entry i is picture i's.

    Raises RequestError, which calls the entries `what`, for another number of them.
    """
    if len(entries) not in (1, batch):
        raise RequestError(
            f"{what} has {len(entries)} entries for {batch} pictures; give one, or one for each."
        )
    return entries * batch if len(entries) == 1 else entries


def implied(request: Mapping[str, Any]) -> int:
    """For how many pictures a request can be meant: its longest list, row of numbers, or stack, else 1.

    Stacks are pictures (B, C, H, W), tokens (B, h, w) and features (B, L, D). Of three axes and 8 bits, or not whole
    and with 1, 3 or 4 rows, it is a single picture; a `map` of three axes is one, whatever its channels.
    """
    counts = [1]
    for name, value in request.items():
        if name in CONTROLS:
            continue
        shape = getattr(value, "shape", None)
        if isinstance(value, list | tuple) or (shape is not None and len(shape) in (1, 4)):
            counts.append(len(value))
        elif shape is not None and len(shape) == 3:
            kind = str(value.dtype).removeprefix("torch.")
            whole = kind.startswith(("int", "uint"))
            one = name == "map" or kind == "uint8" or (not whole and shape[0] in CHANNELS)
            counts.append(1 if one else len(value))
    return max(counts)


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
