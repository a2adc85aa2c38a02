"""Who made a file of a Debian package, and under which licence, by its copyright file.

The format is DEP-5: stanzas of `Files:` (patterns), `Copyright:` and `License:`; the last one that
fits a file wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import DataError

FREE = re.compile(r"^(CC0(-[\d.]+)?|public-domain|CC-BY(-SA)?-[\d.]+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Stanza:
    """The files that fit one of `patterns` are by `holders` under `licence`."""

    patterns: tuple[str, ...]
    holders: str
    licence: str

    @property
    def free(self) -> bool:
        """Whether the licence is CC0, public domain, CC-BY or CC-BY-SA."""
        return FREE.match(self.licence) is not None


def stanzas(path: Path) -> list[Stanza]:
    """The stanzas about files, in order. Raises DataError for a file without any."""
    found = []
    for block in re.split(r"\n[ \t]*\n", path.read_text(encoding="utf-8")):
        fields = dict(_fields(block))
        if "Files" in fields and "License" in fields:
            licence = fields["License"].split("\n")[0].strip()
            holders = "; ".join(
                line.strip() for line in fields.get("Copyright", "").split("\n") if line.strip()
            )
            found.append(Stanza(tuple(fields["Files"].split()), holders, licence))
    if not found:
        raise DataError(f"{path} says nothing of files; it is no machine-readable copyright file.")
    return found


def of(file: str, among: Iterable[Stanza]) -> Stanza | None:
    """The last stanza for a source path, or None; a pattern may also fit the path's end."""
    last = None
    for stanza in among:
        if any(_fits(file, pattern) for pattern in stanza.patterns):
            last = stanza
    return last


def _fits(file: str, pattern: str) -> bool:
    """Whether a pattern with * and ?, which also match "/", is the path or what it ends in."""
    quoted = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(rf"(.*/)?{quoted}", file) is not None


def _fields(block: str) -> Iterable[tuple[str, str]]:
    for match in re.finditer(
        r"^([A-Za-z-]+):[ \t]*((?:.*\n?)(?:[ \t]+.*\n?)*)", block, re.MULTILINE
    ):
        yield match[1], match[2].strip()
