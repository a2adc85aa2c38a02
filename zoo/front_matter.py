"""YAML front matter of a Markdown file, read strictly: plain data, no key twice, no traps.

YAML 1.1 reads `1.0` as a number, `no` as false, `0123456` as 42798 and `1e-6` as text. Wherever
that bites, the message says what was read and what to write instead.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from zoo.errors import CardError
from zoo.schema import LONGEST

DEEPEST = 5000  # brackets; libyaml recurses, and crashes some tens of thousands deep
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_FENCE = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_DOTLESS = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+")  # 1e-6: text in YAML 1.1


class _Strict(_Loader):  # type: ignore[misc, valid-type]
    """PyYAML keeps the last of two equal keys; this refuses the second."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is a list or a mapping", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep))


def split(text: str, where: str) -> tuple[dict[str, Any], str]:
    """The front matter as plain data, and the Markdown below it. Raises CardError."""
    if len(text) > LONGEST:
        raise CardError(f"{where}: {len(text)} characters; a card has at most {LONGEST}.")
    fence = _FENCE.match(text)
    if not fence:
        raise CardError(
            f"{where}: no YAML front matter. A card begins with a line `---` and closes it with "
            "another."
        )
    if _depth(fence[1]) > DEEPEST:
        raise CardError(f"{where}: the front matter has more than {DEEPEST} brackets or blanks.")
    try:
        data = yaml.load(fence[1], _Strict)
        _plain(data, where, "", set())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CardError(
            f"{where}: the front matter is not YAML that a card may hold: {_line(error)}"
        ) from error
    if not isinstance(data, dict):
        raise CardError(
            f"{where}: the front matter must be keys and values, is {type(data).__name__}."
        )
    return data, text[fence.end() :]


def join(data: dict[str, Any], body: str) -> str:
    """The inverse of `split`."""
    matter = yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=110,
    )
    return f"---\n{matter}---\n{body}"


def _depth(matter: str) -> int:
    """No less than the depth of the YAML: all opening brackets, or the longest indentation."""
    indents = re.findall(r"^[-?: \t]+", matter, re.MULTILINE)
    return max(matter.count("[") + matter.count("{"), max(map(len, indents), default=0))


def _line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 2}: {problem}." if mark else f"{problem}."


def _plain(value: Any, where: str, path: str, seen: set[int]) -> None:
    """Refuse what JSON could not say, aliases, and `1e-6` read as text.

    Aliases make small files huge.
    """
    if isinstance(value, dict | list):
        if id(value) in seen:
            raise CardError(
                f"{where}: {path or 'the front matter'} is a YAML alias; write the value out."
            )
        seen.add(id(value))
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict) and not isinstance(key, str):
                raise CardError(
                    f"{where}: the key {key!r} under {path or 'the top'} must be text: put it in "
                    "quotes."
                )
            _plain(item, where, f"{path}.{key}" if path else str(key), seen)
    elif isinstance(value, str):
        if _DOTLESS.fullmatch(value) and path.startswith(("zoo.config", "zoo.sampling")):
            raise CardError(f"{where}: YAML reads {path}: {value} as text; write {_dotted(value)}.")
    elif value is not None and not isinstance(value, bool | int | float):
        raise CardError(
            f"{where}: {path}: YAML reads {value} as a {type(value).__name__}; put it in quotes."
        )


def _dotted(number: str) -> str:
    mantissa, _, exponent = number.lower().partition("e")
    return f"{mantissa}.0e{exponent if exponent[0] in '+-' else '+' + exponent}"
