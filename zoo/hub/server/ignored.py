"""Which files a .gitignore leaves out, as the client asks before it uploads a folder.

The last pattern that matches a file or one of its folders decides; "!" takes back, a slash inside
binds a pattern to the top, one at the end to folders, "**" is any number of folders. What lies in a
folder that is left out stays out. Source: git's description of the format, gitignore(5).

A stranger writes the patterns: a segment is matched by `fnmatch`, whose expressions never go back
over a star, and segments by a table, so that the time is a product of lengths.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from typing import NamedTuple

LONGEST = 64_000  # characters of a .gitignore that are read
MOST = 500  # patterns


class Rule(NamedTuple):
    """A line that means something."""

    segments: tuple[re.Pattern[str] | None, ...]  # None: any number of folders
    only_folders: bool
    takes_back: bool


def ignoring(text: str) -> Callable[[str], bool]:
    """Whether a path is left out by this .gitignore."""
    rules = [rule for rule in map(_rule, text[:LONGEST].splitlines()[:MOST]) if rule]

    def left_out(path: str) -> bool:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            folder, out = depth < len(parts), False
            for rule in rules:
                if (folder or not rule.only_folders) and _matches(rule.segments, parts[:depth]):
                    out = not rule.takes_back
            if out:
                return True
        return False

    return left_out


def _rule(line: str) -> Rule | None:
    text = line.rstrip()
    if not text or text.startswith("#"):
        return None
    takes_back, text = text.startswith("!"), text.removeprefix("!")
    only_folders, text = text.endswith("/"), text.rstrip("/")
    named = text.removeprefix("/").split("/")
    if "/" not in text:
        named = ["**", text]
    return Rule(tuple(map(_segment, named)), only_folders, takes_back)


def _segment(text: str) -> re.Pattern[str] | None:
    if text == "**":
        return None
    return re.compile(translate(re.sub(r"\\(.)", r"[\1]", text)))


def _matches(segments: tuple[re.Pattern[str] | None, ...], parts: list[str]) -> bool:
    reach = {0}  # how many parts the segments so far can stand for
    for index, segment in enumerate(segments):
        if segment is None:
            least = 1 if index == len(segments) - 1 else 0  # "a/**" is what lies in a, not a
            reach = set(range(min(reach) + least, len(parts) + 1))
        else:
            reach = {at + 1 for at in reach if at < len(parts) and segment.match(parts[at])}
        if not reach:
            return False
    return len(parts) in reach
