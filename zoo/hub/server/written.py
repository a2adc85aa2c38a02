"""A stranger's Markdown as HTML that can do nothing: no raw HTML, no script, no picture from elsewhere.

CommonMark with tables. Raw HTML is shown as text, addresses that are no http(s) or a place in the
repository are no links, and pictures come from the repository alone, so that looking at a page tells
nobody. The content security policy of the page says the same again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from zoo.gallery.markup import Markup, element
from zoo.hub.paths import path_problem

LONGEST = 200_000  # characters; what is longer is shown as it was written
_FENCE = re.compile(r"\A\ufeff?---[ \t]*\r?\n.*?^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_ABSOLUTE = re.compile(r"https?://|#", re.I)


def body_of(text: str) -> str:
    """A README without its front matter."""
    return _FENCE.sub("", text)


@lru_cache(256)
def written(text: str, files: str) -> Markup:
    """Markdown as HTML; `files` is the address that names of the repository's files follow."""
    if len(text) > LONGEST:
        return element("pre", text)
    reader = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable("table")
    tokens = reader.parse(text)
    for token in tokens:
        _made_safe(token, files)
        for child in token.children or ():
            _made_safe(child, files)
    return Markup(reader.renderer.render(tokens, reader.options, {}))


def _made_safe(token: Token, files: str) -> None:
    if token.type in ("th_open", "td_open"):
        aligned = str(token.attrs.pop("style", "")).rpartition(":")[2]
        if aligned in ("right", "center"):
            token.attrs["class"] = aligned
    elif token.type == "image":
        inside = _inside(str(token.attrs["src"]))
        token.attrs["src"] = f"{files}{quote(inside)}" if inside else ""
    elif token.type == "link_open":
        asked = str(token.attrs["href"])
        inside = _inside(asked)
        if not _ABSOLUTE.match(asked):
            token.attrs["href"] = f"{files}{quote(inside)}" if inside else "#"
        token.attrs["rel"] = "noreferrer nofollow"


def _inside(address: str) -> str | None:
    """The path of a file of the repository that an address of a card means, or None."""
    path = unquote(address.partition("#")[0]).removeprefix("./")
    return None if path_problem(path) else path
