"""What commands share: JSON, sizes, KEY=VALUE, and options that mean the same everywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import click

from zoo.errors import RequestError

DTYPES = ("float32", "bfloat16", "float16")
F = TypeVar("F", bound=Callable[..., Any])

json_option: Callable[[F], F] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for scripts."
)
seed_option: Callable[[F], F] = click.option(
    "--seed", type=int, default=None, help="Makes the answer repeatable."
)


def placement_options(function: F) -> F:
    """Add --device and --dtype, which say where and in which precision a model runs."""
    function = click.option("--device", default=None, help="cpu, cuda, cuda:1, mps ... [cpu]")(
        function
    )
    return click.option(
        "--dtype", type=click.Choice(DTYPES), default=None,
        help="Precision of the weights.",
    )(function)  # fmt: skip


def print_json(value: Any) -> None:
    """Print plain data (or anything with a str) as indented JSON."""
    click.echo(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if hasattr(value, "items"):
        return dict(value)
    if isinstance(value, (tuple, set, frozenset)):
        return list(value)
    return str(value)


def size_text(count: int | None) -> str:
    """Bytes for people: 912 B, 3.1 MB. Decimal units, as hubs and shops use them."""
    if count is None:
        return "?"
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"


class Size(click.ParamType[int]):
    """A number of bytes, written 500000, 500kB, 3.5MB, 1GB or 4MiB."""

    name = "size"
    units: ClassVar[dict[str, int]] = {
        "": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9,
        "kib": 2**10, "mib": 2**20, "gib": 2**30,
    }  # fmt: skip

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes; fail with the units there are."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*([0-9.]+)\s*([a-zA-Z]*)\s*", value)
        if not match or match[2].lower() not in self.units or match[1].count(".") > 1:
            self.fail(f"{value!r} is not a size; write 500kB, 3.5MB, 4MiB or 1GB", param, ctx)
        return int(float(match[1]) * self.units[match[2].lower()])


def texts_of(given: Sequence[str], file: Path | None) -> tuple[str, ...]:
    """Texts given one by one, then those of a file, one a line. Raises RequestError for one not in UTF-8."""
    if file is None:
        return tuple(given)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise RequestError(f"{file} is not UTF-8 text (byte {error.start}): save it so.") from error
    return (*given, *(line.strip() for line in lines if line.strip()))


def settings(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Read KEY=VALUE pairs; a value that is JSON (0.95, true, [1,2]) is that, any other is text."""
    read: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint=option)
        if key in read:
            raise click.BadParameter(f"{key} is given twice", param_hint=option)
        try:
            read[key] = json.loads(value)
        except json.JSONDecodeError:
            read[key] = value
    return read
