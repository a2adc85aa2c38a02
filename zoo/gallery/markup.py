"""HTML that cannot be broken into: text and attributes are escaped where elements are made."""

from __future__ import annotations

from html import escape

VOID = frozenset(("img", "input", "meta"))


class Markup(str):
    """HTML that is one already; every other text is escaped."""


def element(tag: str, *children: str, **attributes: str | int | float | bool | None) -> Markup:
    """`<tag attributes>children</tag>`; `class_` is class, `_` is `-`, True a bare name, None and False nothing."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    start = Markup(f"<{tag}{written}>")
    return start if tag in VOID else Markup(f"{start}{joined(*children)}</{tag}>")


def joined(*children: str) -> Markup:
    """Children one after the other, those that are no markup escaped."""
    return Markup("".join(each if isinstance(each, Markup) else escape(each) for each in children))
