"""Repositories and what is in them: search, info, trees, single paths, history."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import Response

from zoo.errors import CardError, HubError
from zoo.front_matter import split
from zoo.hub.server.repository import MAIN, Commit, Entry, Repository
from zoo.hub.server.resolve import commit_of
from zoo.hub.server.routing import Call, Refused, Route, answered, link
from zoo.hub.server.store import KINDS

log = logging.getLogger("zoo.hub")
EXPANDED = 50  # entries of a page that also says who changed them last


def search(call: Call) -> Response:
    """The repositories that the caller sees, filtered, sorted, in pages."""
    asked = call.request.query_params
    author, wanted = asked.get("author"), asked.getlist("filter")
    files = "full" in asked or "siblings" in expanded(call)
    found = [
        facts
        for each, facts in seen(call, call.args["kind"], asked.get("search", ""), files)
        if author in (None, "", each.namespace) and all(tag in facts["tags"] for tag in wanted)
    ]
    if asked.get("sort") in ("lastModified", "last_modified", "createdAt", "created_at"):
        key = "lastModified" if "odified" in asked["sort"] else "createdAt"
        found.sort(key=lambda facts: str(facts[key]), reverse=asked.get("direction") != "1")
    limit = max(1, _whole(asked.get("limit"), call.hub.limits.page))
    rows, headers = _page(call, found, min(limit, call.hub.limits.page))
    return answered(rows, headers=headers)


def seen(
    call: Call, kind: str, search: str, files: bool = False
) -> Iterator[tuple[Repository, dict[str, Any]]]:
    """Repositories that the caller may see with all words of a search in their name or tags."""
    words, store = search.lower().split(), call.hub.store
    for name in store.names(kind):
        try:
            each = store.repository(kind, name)
            if each is None or (each.private and not call.caller.member(each.namespace)):
                continue
            facts = described(each, None, files)
        except HubError as error:  # who asks for that repository is told; the others are listed
            log.warning("%s is left out of a list: %s", name, error)
            continue
        text = " ".join([each.name, *facts["tags"]]).lower()
        if all(word in text for word in words):
            yield each, facts


def owned(call: Call) -> Response:
    """The repositories of the caller, or of an organisation of theirs, and what they take; the largest first."""
    namespace = call.args.get("org") or str(call.caller.user)
    if not call.caller.member(namespace):
        raise Refused(403, f"{call.caller.user} is no member of {namespace}")
    found = [
        {
            "id": each.name, "type": kind.removesuffix("s"), "updatedAt": facts["lastModified"],
            "visibility": "private" if each.private else "public", "storage": facts.get("usedStorage", 0),
        }
        for kind in KINDS for each, facts in seen(call, kind, "") if each.namespace == namespace
    ]  # fmt: skip
    whole = sum(each["storage"] for each in found) or 1
    for each in found:
        each["storagePercent"] = round(100 * each["storage"] / whole, 2)
    found.sort(key=lambda facts: facts["storage"], reverse=True)
    rows, headers = _page(call, found, call.hub.limits.page)
    return answered(rows, headers=headers)


def expanded(call: Call) -> list[str]:
    """What a client asks to have besides, in either of two spellings."""
    asked = call.request.query_params
    return asked.getlist("expand") + asked.getlist("expand[]")


def info(call: Call) -> Response:
    """One repository at a revision."""
    commit = commit_of(call)
    facts = described(call.repository, commit)
    if call.request.query_params.get("blobs"):
        for each, entry in zip(
            facts["siblings"], call.repository.entries(commit).values(), strict=True
        ):
            each.update({"size": entry.size, "blobId": entry.oid, **_lfs(entry)})
    return answered(facts)


def described(repository: Repository, commit: str | None, files: bool = True) -> dict[str, Any]:
    """What clients read of a repository; of `main` where no commit is given."""
    commit = commit or repository.ref(MAIN)
    card: dict[str, Any] = {}
    more: dict[str, Any] = {}
    modified = repository.facts["created"]
    if commit:
        found = repository.commit(commit)
        modified = _date(found)
        card = card_data(repository, commit)
        if files:
            paths = sorted(repository.objects.flat(found.tree))
            more["siblings"] = [{"rfilename": path} for path in paths]
    if repository.files.writable:  # of a bucket it would take a request for every object
        more["usedStorage"] = repository.used()
    library, task = card.get("library_name"), card.get("pipeline_tag")
    given = card.get("tags")
    tags = [each for each in given if isinstance(each, str)] if isinstance(given, list) else []
    tags += [str(each) for each in (library, task) if each]
    if card.get("license"):
        tags.append(f"license:{card['license']}")
    return {
        "_id": repository.id, "id": repository.name, "modelId": repository.name,
        "author": repository.namespace, "sha": commit, "lastModified": modified,
        "createdAt": repository.facts["created"], "private": repository.private,
        "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": tags,
        "pipeline_tag": task, "library_name": library, "cardData": card,
        "xetEnabled": False, **more,
    }  # fmt: skip


def card_data(repository: Repository, commit: str) -> dict[str, Any]:
    """The front matter of the README; nothing where there is none or it cannot be read."""
    blob = repository.blob_at(commit, "README.md")
    return _front(repository, blob) if blob else {}


@lru_cache(1024)
def _front(repository: Repository, blob: str) -> dict[str, Any]:
    text = repository.objects.of_kind(blob, "blob").decode("utf-8", "replace")
    try:
        matter = split(text, "README.md")[0] if text.startswith("---") else {}
        json.dumps(matter, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (CardError, ValueError):  # a stranger's README; clients read an empty card, as elsewhere
        return {}
    return matter


def tree(call: Call) -> Response:
    """Files and folders below a path."""
    asked = call.request.query_params
    commit, under = commit_of(call), call.args.get("path", "").strip("/")
    entries = call.repository.entries(commit)
    inside = f"{under}/" if under else ""
    below = {path: each for path, each in entries.items() if path.startswith(inside)}
    if under and not below:
        raise Refused(404, f"{under} does not exist", "EntryNotFound", X_Repo_Commit=commit)
    expand = asked.get("expand") in ("1", "true", "True")
    listed: dict[str, dict[str, Any]] = {}
    for path, each in below.items():
        parts = path.removeprefix(inside).split("/")
        for depth in range(1, len(parts)):
            folder = inside + "/".join(parts[:depth])
            listed.setdefault(folder, {"type": "directory", "path": folder, "size": 0})
        listed[path] = item(each)
    if asked.get("recursive") not in ("1", "true", "True"):
        listed = {path: each for path, each in listed.items() if "/" not in path[len(inside) :]}
    trees = call.repository.folders(commit)
    for path, facts in listed.items():
        facts.setdefault("oid", trees.get(path))
    rows, headers = _page(
        call,
        [listed[path] for path in sorted(listed)],
        EXPANDED if expand else call.hub.limits.page,
    )
    if expand:
        _date_of_each(call.repository, commit, rows)
    return answered(rows, headers=headers)


def item(entry: Entry) -> dict[str, Any]:
    """A file as clients read it."""
    return {
        "type": "file", "path": entry.path, "size": entry.size, "oid": entry.oid, **_lfs(entry)
    }  # fmt: skip


def _lfs(entry: Entry) -> dict[str, Any]:
    if not entry.large:
        return {}
    pointer = {"size": entry.size, "pointerSize": len(entry.large.pointer)}
    return {"lfs": {"oid": entry.large.sha256, "sha256": entry.large.sha256, **pointer}}


def paths_info(call: Call) -> Response:
    """What stands at some paths; those where nothing stands are left out."""
    commit = commit_of(call)
    if "json" in call.request.headers.get("content-type", ""):
        asked = call.json()
        paths, expand = asked.get("paths") or [], bool(asked.get("expand"))
    else:
        form = parse_qs(call.body.decode("utf-8", "replace"))
        paths, expand = form.get("paths", []), form.get("expand", [""])[0].lower() == "true"
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or len(paths) > call.hub.limits.page:
        raise Refused(400, f"`paths` must be a list of at most {call.hub.limits.page}")
    entries, trees = call.repository.entries(commit), call.repository.folders(commit)
    rows = []
    for path in dict.fromkeys(str(each).strip("/") for each in paths):
        if path in entries:
            rows.append(item(entries[path]))
        elif path in trees:
            rows.append({"type": "directory", "path": path, "size": 0, "oid": trees[path]})
    if expand:
        _date_of_each(call.repository, commit, rows)
    return answered(rows)


def _date_of_each(repository: Repository, commit: str, rows: Iterable[dict[str, Any]]) -> None:
    """Give each row the newest commit that changed it."""
    waiting = {row["path"]: row for row in rows}
    for each in repository.history(commit):
        if not waiting:
            return
        before = repository.commit(each.parent).tree if each.parent else None
        for path in repository.changed(before, each.tree):
            if path in waiting:
                last = {"id": each.oid, "title": each.title, "date": _date(each)}
                waiting.pop(path)["lastCommit"] = last


def history(call: Call) -> Response:
    """Commits, newest first."""
    at = call.request.query_params.get("cursor") or commit_of(call)
    if call.repository.find(at) != at:
        raise Refused(404, f"{at} is no commit", "RevisionNotFound")
    formatted = "formatted" in expanded(call)
    rows: list[dict[str, Any]] = []
    headers: dict[str, str] = {}
    for each in call.repository.history(at):
        if len(rows) == call.hub.limits.page:
            headers = link(call, each.oid)
            break
        title, _, message = each.message.partition("\n")
        said = {"title": title, "message": message.strip()}
        row: dict[str, Any] = {
            "id": each.oid,
            "date": _date(each),
            "authors": [{"user": each.author}],
            **said,
        }
        if formatted:
            row["formatted"] = {key: escape(text) for key, text in said.items()}
        rows.append(row)
    return answered(rows, headers=headers)


def _page(
    call: Call, rows: list[dict[str, Any]], size: int
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    start = _whole(call.request.query_params.get("cursor"), 0)
    headers = link(call, str(start + size)) if start + size < len(rows) else {}
    return rows[start : start + size], headers


def _whole(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise Refused(400, f"{text!r} is no whole number")
    return int(text)


def _date(commit: Commit) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(commit.seconds))


_R = "api/{kind}/{org}/{name}"
ROUTES = (
    Route("GET", "api/{kind}", "open", search),
    Route("GET", "api/settings/repositories", "user", owned),
    Route("GET", "api/organizations/{org}/settings/repositories", "user", owned),
    Route("GET", _R, "read", info),
    Route("GET", f"{_R}/revision/{{rev}}", "read", info),
    Route("GET", f"{_R}/tree/{{rev}}", "read", tree),
    Route("GET", f"{_R}/tree/{{rev}}/{{*path}}", "read", tree),
    Route("POST", f"{_R}/paths-info/{{rev}}", "read", paths_info),
    Route("GET", f"{_R}/commits/{{rev}}", "read", history),
)
