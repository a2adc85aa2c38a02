"""How pages look: the gallery's style, and a frame with a policy that lets nothing else in."""

from __future__ import annotations

import base64
from functools import cache
from hashlib import sha256
from importlib.resources import files

from starlette.responses import HTMLResponse, Response

from zoo.gallery.markup import Markup, element, joined

STYLE = """
body { max-width: 70rem; }
main { display: block; }
nav { display: flex; gap: 1rem; align-items: baseline; }
section { margin: 1.6rem 0; }
ul.models { list-style: none; padding: 0; }
ul.models li { padding: .5rem 0; border-top: 1px solid var(--line); }
.badge { border: 1px solid var(--line); border-radius: 99px; padding: 0 .6rem; font-size: .85em; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem; }
.card table { width: auto; }
.card img { width: auto; max-width: 100%; }
.card th, .card td, .files td { padding-right: 1.5rem; }
.right, .number { text-align: right; }
.center { text-align: center; }
.scroll { overflow-x: auto; }
"""


@cache
def style() -> str:
    """The whole style sheet."""
    return files("zoo.gallery").joinpath("page.css").read_text(encoding="utf-8") + STYLE


@cache
def policy() -> str:
    """What the browser may load: this style, and pictures of this hub."""
    digest = base64.b64encode(sha256(style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def framed(title: str, *body: str) -> Response:
    """A page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(style())),
    )
    bar = element("nav", element("a", "zoo hub", href="/"), element("a", "sign in", href="/login"))
    whole = element("html", head, element("body", bar, element("main", *body)), lang="en")
    return HTMLResponse(
        joined(Markup("<!doctype html>"), whole),
        headers={"Content-Security-Policy": policy(), "Referrer-Policy": "no-referrer"},
    )
