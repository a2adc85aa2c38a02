"""Plain data (parsed YAML) to frozen dataclasses and back, by the types of their fields.

The dataclass is the schema: a key is known if a field is, a value is right if it has the field's
type. Errors name the place, what stands there, what must stand there, and the nearest known key.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from zoo.errors import CardError, nearest

LONGEST = 1 << 20  # characters; a card is a page, not a book
_SCALARS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def safe_path(name: str) -> bool:
    """Whether a relative file name can be trusted to stay in its folder, on every system."""
    parts = name.split("/")
    return (
        0 < len(name) < 256
        and all(part not in ("", ".", "..", ".git") and part == part.strip() for part in parts)
        and not any(ord(letter) < 32 or letter in '\\:*?"<>|' for letter in name)
        and not any(part.endswith(".") for part in parts)
    )


def one_of(value: str, allowed: Sequence[str], where: str) -> None:
    """Raise CardError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise CardError(
            f"{where}: {value!r} is none of {', '.join(allowed)}.{nearest(value, allowed)}"
        )


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields."""
    return typing.get_type_hints(kind)


def arguments(
    kind: type, data: Mapping[str, Any], known: Sequence[str], where: str, path: str
) -> dict[str, Any]:
    """`data` as arguments of a dataclass, each key known and each value of its field's type."""
    dot = f"{path}." if path else ""
    for key in data:
        if key not in known:
            raise CardError(
                f"{where}: {dot}{key} is no key of a card.{nearest(key, known)} Keys: "
                f"{', '.join(known)}."
            )
    for each in fields(kind):
        required = each.default is MISSING and each.default_factory is MISSING
        if each.name in known and required and data.get(each.name) is None:
            raise CardError(f"{where}: {dot}{each.name} is missing.")
    hints = hints_of(kind)
    given = {key: value for key, value in data.items() if value is not None}
    return {key: _typed(value, hints[key], where, f"{dot}{key}") for key, value in given.items()}


def _typed(value: Any, hint: Any, where: str, path: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (types.UnionType, typing.Union):  # only ever `X | None`, and None was dropped
        return _typed(value, inner[0], where, path)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise CardError(f"{where}: {path}: {value!r} must be a list.")
        if inner[-1] is not Ellipsis and len(value) != len(inner):
            raise CardError(f"{where}: {path}: {value!r} must be a list of {len(inner)}.")
        return tuple(
            _typed(item, inner[0], where, f"{path}[{index}]") for index, item in enumerate(value)
        )
    if is_dataclass(hint) or origin is not None:  # a block of known keys, or Mapping[str, X]
        if not isinstance(value, Mapping):
            raise CardError(f"{where}: {path}: {value!r} must hold keys and values.")
        if origin is not None:
            return {
                key: _typed(item, inner[1], where, f"{path}.{key}") for key, item in value.items()
            }
        return hint(**arguments(hint, value, list(hints_of(hint)), where, path))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        quote = " Put it in quotes: YAML reads 1.0, no and 0123 its own way." if hint is str else ""
        raise CardError(f"{where}: {path}: {value!r} must be {_SCALARS[hint]}.{quote}")
    return value


def pruned(value: Any, whole: Sequence[str] = ()) -> Any:
    """Plain data for YAML: None and empty fields left out, except inside the keys of `whole`."""
    if isinstance(value, Mapping):
        kept = {
            key: plain(item) if key in whole else pruned(item, whole) for key, item in value.items()
        }
        return {
            key: item
            for key, item in kept.items()
            if item not in (None, "", [], {}) or key in whole
        }
    return [pruned(item, whole) for item in value] if isinstance(value, list | tuple) else value


def plain(value: Any) -> Any:
    """A deep copy of plain data with lists for tuples and dicts for mappings."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
