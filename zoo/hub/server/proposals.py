"""Pull requests and discussions: talk beside a repository, and taking a proposed commit into main.

    repositories/.../discussions/N.json    title, status, author, events, as clients read them

A pull request is a ref, refs/pr/N. It is merged by what it changed since it left main, file by file;
where main changed the same file meanwhile, it is refused and names the file. Who may not write to a
repository cannot propose either, so that reading never fills a disk.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from starlette.responses import Response

from zoo.hub.paths import clash
from zoo.hub.server.repository import MAIN, PULLS, Repository
from zoo.hub.server.room import ask_room
from zoo.hub.server.routing import Call, Refused, Route, answered

LONGEST = 65_536  # characters of a comment
MOST = 1_000  # events of one discussion
STATUS = ("open", "closed")


def opened(call: Call, title: str, text: str, status: str, base: str | None) -> int:
    """Begin a discussion, or a pull request on the commit `base`; its number. Holds no lock itself."""
    number = 1 + max((int(each[:-5]) for each in _names(call.repository)), default=0)
    pulls = [int(ref[len(PULLS) :]) for ref in call.repository.refs(PULLS)]
    number = max(number, 1 + max(pulls, default=0))
    facts = {
        "num": number, "title": title.strip()[:500], "status": status, "isPullRequest": base is not None,
        "author": {"name": call.author}, "createdAt": _now(), "events": [],
        "merged": None, "base": base,
    }  # fmt: skip
    _say(call, facts, "comment", _comment(text))
    return number


def create(call: Call) -> Response:
    """A discussion, or a pull request that begins where main stands."""
    asked = call.json()
    proposal = asked.get("pullRequest") is True
    title, text = str(asked.get("title") or ""), str(asked.get("description") or "")
    if not title.strip():
        raise Refused(400, "A discussion needs a title")
    with call.repository.lock:
        base = call.repository.ref(MAIN) if proposal else None
        number = opened(call, title, text, "draft" if proposal else "open", base)
        if base:
            call.repository.move_ref(f"{PULLS}{number}", None, base)
    return answered({"num": number, "pullRequest": proposal})


def every(call: Call) -> Response:
    """All discussions, newest first, filtered, in pages."""
    asked, size = call.request.query_params, 50
    found = [_read(call.repository, int(each[:-5])) for each in _names(call.repository)]
    kinds = {"pull_request": True, "discussion": False}
    wanted = [
        each
        for each in sorted(found, key=lambda facts: -int(facts["num"]))
        if asked.get("author") in (None, each["author"]["name"])
        and kinds.get(asked.get("type", ""), each["isPullRequest"]) is each["isPullRequest"]
        and _in(asked.get("status", "all"), each["status"])
    ]
    page = asked.get("p", "0")
    start = size * int(page) if page.isascii() and page.isdigit() and len(page) < 9 else 0
    rows = [_told(call.repository, each) for each in wanted[start : start + size]]
    return answered({"discussions": rows, "start": start, "count": len(wanted)})


def _in(wanted: str, status: str) -> bool:
    closed = status in ("closed", "merged")
    return wanted == "all" or (wanted == "closed") is closed


def details(call: Call) -> Response:
    """One discussion with all that was said."""
    facts = _read(call.repository, _number(call))
    return answered({**_told(call.repository, facts), "events": facts["events"]})


def comment(call: Call) -> Response:
    """Say something."""
    with call.repository.lock:
        facts = _read(call.repository, _number(call))
        text = _comment(str(call.json().get("comment") or ""))
        return answered({"newMessage": _say(call, facts, "comment", text)})


def rename(call: Call) -> Response:
    """Give another title."""
    title = str(call.json().get("title") or "").strip()[:500]
    if not title:
        raise Refused(400, "A discussion needs a title")
    with call.repository.lock:
        facts = _read(call.repository, _number(call))
        change = {"from": facts["title"], "to": title}
        facts["title"] = title
        return answered({"newTitle": _say(call, facts, "title-change", change)})


def set_status(call: Call) -> Response:
    """Open or close."""
    status = call.json().get("status")
    if status not in STATUS:
        raise Refused(400, f"status {status!r} is neither open nor closed")
    with call.repository.lock:
        facts = _read(call.repository, _number(call))
        if facts["merged"]:
            raise Refused(409, "It is merged")
        facts["status"] = status
        return answered({"newStatus": _say(call, facts, "status-change", {"status": status})})


def edit(call: Call) -> Response:
    """Change what one said oneself."""
    text = _comment(str(call.json().get("content") or ""))
    with call.repository.lock:
        facts = _read(call.repository, _number(call))
        found = [each for each in facts["events"] if each["id"] == call.args["event"]]
        if not found or found[0]["type"] != "comment":
            raise Refused(404, "There is no such comment")
        if found[0]["author"]["name"] != call.author and call.caller.role != "admin":
            raise Refused(403, "Only its author changes a comment")
        found[0]["data"] = {**text, "edited": True}
        _write(call, facts)
        return answered({"updatedComment": found[0]})


def merge(call: Call) -> Response:
    """Take a pull request into main."""
    repository = call.repository
    with repository.lock:
        facts = _read(repository, _number(call))
        head = repository.ref(f"{PULLS}{facts['num']}")
        if not facts["isPullRequest"] or head is None or facts["merged"]:
            raise Refused(409, "It is no pull request that can be merged")
        if facts["status"] != "open":
            raise Refused(409, f"It is {facts['status']}: open it first")
        main = repository.ref(MAIN)
        files = _merged(repository, facts["base"], str(head), str(main))
        message = f"{facts['title']} (#{facts['num']})"
        made = repository.write_commit(files, main, call.author, message)
        repository.move_ref(MAIN, main, made)
        facts["merged"], facts["status"] = made, "merged"
        _say(call, facts, "status-change", {"status": "merged"})
    return answered({"mergeCommitId": made})


def _merged(repository: Repository, base: str, head: str, main: str) -> dict[str, str]:
    """The files of main with what `head` changed since `base`. Raises Refused."""
    old, theirs, ours = (
        repository.objects.flat(repository.commit(each).tree) for each in (base, head, main)
    )
    files = dict(ours)
    for path in sorted(old.keys() | theirs.keys()):
        if old.get(path) == theirs.get(path) or ours.get(path) == theirs.get(path):
            continue
        if ours.get(path) != old.get(path):
            raise Refused(409, f"main changed {path} as well: propose it again on main")
        if path in theirs:
            files[path] = theirs[path]
        else:
            files.pop(path, None)
    both = clash(files)
    if both:
        raise Refused(409, f"{both[0]!r} and {both[1]!r} would be one file on some systems")
    return files


def _number(call: Call) -> int:
    text = call.args["number"]
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Refused(404, f"There is no discussion {text}")
    return int(text)


def _names(repository: Repository) -> list[str]:
    return repository.files.names(f"{repository.folder}/discussions")


def _read(repository: Repository, number: int) -> dict[str, Any]:
    try:
        text = repository.files.read(f"{repository.folder}/discussions/{number}.json")
    except FileNotFoundError:
        raise Refused(404, f"There is no discussion {number}") from None
    return dict(json.loads(text))


def _told(repository: Repository, facts: dict[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in facts.items() if key not in ("events", "merged", "base")}
    repo = {"name": repository.name, "type": repository.kind[:-1]}
    changes = {"base": MAIN, "mergeCommitId": facts["merged"]}
    return {**told, "repo": repo, "changes": changes, "filesWithConflicts": []}


def _comment(text: str) -> dict[str, Any]:
    if len(text) > LONGEST:
        raise Refused(413, f"A comment has at most {LONGEST} characters")
    return {"edited": False, "hidden": False, "latest": {"raw": text}}


def _say(call: Call, facts: dict[str, Any], kind: str, data: dict[str, Any]) -> dict[str, Any]:
    if len(facts["events"]) >= MOST:
        raise Refused(413, f"A discussion has at most {MOST} events")
    event = {
        "id": secrets.token_hex(12), "type": kind, "createdAt": _now(),
        "author": {"name": call.author}, "data": data,
    }  # fmt: skip
    facts["events"].append(event)
    _write(call, facts)
    return event


def _write(call: Call, facts: dict[str, Any]) -> None:
    data, found = json.dumps(facts).encode(), call.repository
    call.hub.store.disk  # noqa: B018  refuses a read-only hub
    folder = f"{found.folder}/discussions"
    talk = sum(found.files.size(f"{folder}/{each}") or 0 for each in _names(found))
    ask_room(call.hub, found, len(data) + talk)
    found.files.write(f"{folder}/{facts['num']}.json", data)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())


_D = "api/{kind}/{org}/{name}/discussions"
ROUTES = (
    Route("GET", _D, "read", every),
    Route("POST", _D, "write", create),
    Route("GET", f"{_D}/{{number}}", "read", details),
    Route("POST", f"{_D}/{{number}}/comment", "write", comment),
    Route("POST", f"{_D}/{{number}}/title", "write", rename),
    Route("POST", f"{_D}/{{number}}/status", "write", set_status),
    Route("POST", f"{_D}/{{number}}/merge", "write", merge),
    Route("POST", f"{_D}/{{number}}/comment/{{event}}/edit", "write", edit),
)
