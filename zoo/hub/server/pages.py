"""What a browser sees: the list of repositories, and of each the card, versions, files, samples.

Pages are plain HTML without a script. A browser that has to sign in gives a token as the password
(HTTP Basic); with that it reads what the token reads and changes nothing, so that no other site's
page can make it do so.
"""

from __future__ import annotations

from itertools import islice
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from zoo.gallery.markup import Markup, element
from zoo.hub.server.listing import card_data, described, seen
from zoo.hub.server.look import framed
from zoo.hub.server.numbers import metrics_of
from zoo.hub.server.repository import HEADS, TAGS, Entry, Repository
from zoo.hub.server.resolve import PICTURES, commit_of
from zoo.hub.server.routing import Call, Route
from zoo.hub.server.written import body_of, written

SAMPLES = 12  # pictures above the card
SHOWN = 1_000  # files, and repositories of the first page


def front(call: Call) -> Response:
    """All repositories that the caller sees, or those that match `?search=`."""
    words = call.request.query_params.get("search", "")
    rows = [
        element(
            "li",
            element("a", f"{prefix}{each.name}", href=f"/{quote(prefix + each.name)}"),
            " ",
            *_badges(each, facts),
        )
        for kind, prefix in (("models", ""), ("datasets", "datasets/"))
        for each, facts in islice(seen(call, kind, words), SHOWN)
    ]
    form = element(
        "form",
        element("label", "Search ", element("input", name="search", value=words, type="search")),
        element("button", "Search"),
    )
    none = element("p", "No repository here that you may see.", class_="none")
    listed = element("ul", *rows, class_="models") if rows else none
    return framed("zoo hub", element("h1", "Models"), form, listed)


def login(call: Call) -> Response:
    """The route itself asks for the token."""
    return RedirectResponse("/", 303)


def icon(call: Call) -> Response:
    """None; a browser asks for one."""
    return Response(status_code=204)


def blob(call: Call) -> Response:
    """The public hub's address of a file's page: here the file."""
    page, args = call.page(call.repository), call.args
    return RedirectResponse(f"{page}/resolve/{quote(args['rev'], safe='')}/{quote(args['path'])}")


def repository(call: Call) -> Response:
    """One repository at a revision."""
    found, commit = call.repository, commit_of(call)
    entries, matter = found.entries(commit), card_data(found, commit)
    base = "/" + quote(found.name if found.kind == "models" else f"{found.kind}/{found.name}")
    files = f"{base}/resolve/{commit}/"
    revision = call.args.get("rev", "main")
    parts = [
        element("h1", found.name),
        element("p", *_badges(found, described(found, commit, files=False))),
        _versions(found, base, revision, commit),
        _samples(entries, files),
        _metrics(matter),
        _use(call, found, revision),
        _card(found, entries, files),
        _files(entries, files),
    ]
    return framed(f"{found.name} at {revision}", *parts)


def _badges(found: Repository, facts: dict[str, object]) -> list[str]:
    told = ["private"] if found.private else []
    told += [str(facts[key]) for key in ("pipeline_tag", "library_name") if facts[key]]
    told += [each.replace(":", ": ") for each in map(str, _list(facts["tags"])) if ":" in each]
    told.append(f"changed {str(facts['lastModified'])[:10]}")
    return [Markup(f"{element('span', each, class_='badge')} ") for each in told]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _versions(found: Repository, base: str, revision: str, commit: str) -> Markup:
    links: list[str] = []
    for prefix in (TAGS, HEADS):
        for ref in sorted(found.refs(prefix), reverse=prefix == TAGS):
            name = ref.removeprefix(prefix)
            address = f"{base}/tree/{quote(name, safe='')}"
            now = "page" if name == revision else None
            links += [element("a", name, href=address, aria_current=now), " "]
    here = element("p", f"Shown: {revision}, commit ", element("code", commit))
    return element("section", element("h2", "Versions"), element("p", *links), here, id="versions")


def _samples(entries: dict[str, Entry], files: str) -> Markup:
    pictures = [path for path in entries if path.rpartition(".")[2].lower() in PICTURES]
    shown = [
        element("img", src=f"{files}{quote(path)}", alt=path, loading="lazy")
        for path in pictures[:SAMPLES]
    ]
    if not shown:
        return Markup("")
    inside = element("div", *shown, class_="samples")
    return element("section", element("h2", "Samples"), inside, id="samples")


def _metrics(matter: dict[str, object]) -> Markup:
    rows = [
        element("tr", element("th", each.name, scope="row"), element("td", each.value),
                element("td", each.data))
        for each in metrics_of(matter)
    ]  # fmt: skip
    if not rows:
        return Markup("")
    return element("section", element("h2", "Metrics"), element("table", *rows), id="metrics")


def _use(call: Call, found: Repository, revision: str) -> Markup:
    at = "" if revision == "main" else f'", revision="{revision}'
    text = (
        f"export HF_ENDPOINT={call.base}\n"
        f"python -c 'import huggingface_hub as hub; "
        f'print(hub.snapshot_download("{found.name}{at}"))\''
    )
    return element("section", element("h2", "Use"), element("pre", text), id="use")


def _card(found: Repository, entries: dict[str, Entry], files: str) -> Markup:
    readme = entries.get("README.md")
    if readme is None or readme.large:
        return element("p", "No README.md.", class_="none")
    text = found.objects.of_kind(readme.oid, "blob").decode("utf-8", "replace")
    return element("section", written(body_of(text), files), class_="card", id="card")


def _files(entries: dict[str, Entry], files: str) -> Markup:
    rows = [
        element(
            "tr",
            element("td", element("a", path, href=f"{files}{quote(path)}")),
            element("td", f"{each.size:,}", class_="number"),
            element("td", element("code", each.etag[:16], title=each.etag)),
        )
        for path, each in list(entries.items())[:SHOWN]
    ]
    more = len(entries) - len(rows)
    return element(
        "section",
        element("h2", "Files"),
        element("div", element("table", *rows, class_="files"), class_="scroll"),
        element("p", f"... and {more} more") if more else "",
        id="files",
    )


ROUTES = (
    Route("GET", "", "open", front),
    Route("GET", "login", "user", login),
    Route("GET", "favicon.ico", "open", icon),
    *(
        Route("GET", f"{prefix}{{org}}/{{name}}{rest}", "read", handler)
        for prefix in ("{kind}/", "")
        for rest, handler in (
            ("", repository),
            ("/tree/{rev}", repository),
            ("/commit/{rev}", repository),
            ("/blob/{rev}/{*path}", blob),
        )
    ),
)
