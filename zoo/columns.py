"""Columns of text for a terminal, and strangers' text that can do nothing to it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

# Control letters but tabs and ends of lines, and those that turn the direction of writing.
_ACTING = re.compile("(?!\t|\n|\r\n)[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""Text with letters that would act on a terminal written out: a red "\x1b[31m" is seen so."""
    return _ACTING.sub(lambda match: repr(match[0])[1:-1], text)


def columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()
) -> str:
    """Lines with aligned columns, two blanks between; those named in `right` are flushed right."""
    lines = [list(header), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(line, widths, header, strict=True)
        ).rstrip()
        for line in lines
    )
