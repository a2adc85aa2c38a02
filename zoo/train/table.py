"""Frozen dataclasses from TOML tables and back, checked field by field.

`read` refuses unknown keys (naming the nearest) and values of another type than the field's, so
that a misspelt setting is an error before training and not a surprise after it. A trailing
underscore in a field's name is dropped in TOML (`from_` is written `from`). A dataclass with the
field `objectives` (zoo.train.recipe.Optimizer) takes inner tables as overrides of itself:
`[optimizer.discriminator]` inherits what `[optimizer]` says.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from zoo.errors import ZooError, nearest

Table = Mapping[str, Any]


class RecipeError(ZooError):
    """A recipe that cannot be followed; the message names the file, the key and the remedy."""


def read(kind: type, table: Table, at: str = "") -> Any:
    """Build the frozen dataclass `kind` from a TOML table found at the dotted key `at`."""
    hints = typing.get_type_hints(kind)
    known = {name.rstrip("_"): name for name in hints}
    values: dict[str, Any] = {}
    if known.pop("objectives", None):
        own = {name: part for name, part in table.items() if isinstance(part, Mapping)}
        table = {name: part for name, part in table.items() if name not in own}
        values["objectives"] = {
            name: read(kind, {**table, **part}, f"{at}.{name}") for name, part in own.items()
        }
    for key, value in table.items():
        if key not in known:
            what = f"[{at}] has the unknown key {key!r}" if at else f"unknown table [{key}]"
            raise RecipeError(f"{what}.{nearest(key, known)} Known: {', '.join(known)}")
        values[known[key]] = _check(hints[known[key]], value, f"{at}.{key}" if at else key)
    return kind(**values)


def _check(hint: Any, value: Any, at: str) -> Any:
    """`value` as the type `hint`, or a RecipeError saying what was asked and found."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _check(arguments[0], value, at)
    table = isinstance(value, Mapping)
    if table and dataclasses.is_dataclass(hint):
        return read(typing.cast(type, hint), value, at)
    if table and origin is Mapping:
        return {key: _check(arguments[1], part, f"{at}.{key}") for key, part in value.items()}
    if hint is Any or (origin is Literal and value in arguments):
        return value
    if origin is tuple and isinstance(value, list) and arguments[-1] is Ellipsis:
        return tuple(_check(arguments[0], part, at) for part in value)
    if origin is tuple and isinstance(value, list) and len(value) == len(arguments):
        return tuple(_check(kind, part, at) for kind, part in zip(arguments, value, strict=True))
    if hint is float and type(value) in (int, float):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    wanted = " or ".join(map(repr, arguments)) if origin is Literal else _name(hint)
    raise RecipeError(f"{at} = {value!r} should be {wanted}")


def _name(hint: Any) -> str:
    if typing.get_origin(hint) is tuple:
        return "[" + ", ".join(map(_name, typing.get_args(hint))) + "]"
    if hint is Ellipsis:
        return "..."
    names = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
    return names.get(hint, "a table")


def write(value: Any) -> str:
    """The TOML text of a dataclass of tables; `read` of it gives an equal dataclass."""
    lines: list[str] = []
    for name, table in _plain(value).items():
        _write(lines, name, table)
    return "\n".join(lines).strip() + "\n"


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries in the order of their fields, without None and what is empty."""
    if not dataclasses.is_dataclass(value):
        return value
    found: dict[str, Any] = {}
    for part in dataclasses.fields(value):
        item = getattr(value, part.name)
        if part.name == "objectives":
            found |= {name: _plain(own) for name, own in item.items()}
        elif item is not None and item != "" and item != {}:
            found[part.name.rstrip("_")] = _plain(item)
    return found


def _write(lines: list[str], name: str, table: Table) -> None:
    """Append one TOML table, its own values first, then the tables within it."""
    lines += ["", f"[{name}]"]
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines += [f"{_key(key)} = {_value(value)}" for key, value in table.items() if key not in inner]
    for key, value in inner.items():
        _write(lines, f"{name}.{_key(key)}", value)


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else json.dumps(key)


def _value(value: Any) -> str:
    """A TOML value; JSON writes strings, booleans and finite numbers the same way."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, str | bool | int | float):
        return json.dumps(value)
    return str(value)  # dates and times write themselves
