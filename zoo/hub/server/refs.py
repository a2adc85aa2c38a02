"""Branches, tags and squashed histories."""

from __future__ import annotations

from starlette.responses import Response

from zoo.hub.paths import path_problem, ref_problem
from zoo.hub.server.repository import HEADS, MAIN, PULLS, TAGS
from zoo.hub.server.resolve import commit_of
from zoo.hub.server.room import ask_room
from zoo.hub.server.routing import Call, Refused, Route, answered


def refs(call: Call) -> Response:
    """All refs."""
    every = call.repository.refs()

    def rows(prefix: str) -> list[dict[str, str]]:
        return [
            {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": commit}
            for ref, commit in every.items()
            if ref.startswith(prefix)
        ]

    found = {"branches": rows(HEADS), "tags": rows(TAGS), "converts": []}
    if call.request.query_params.get("include_prs"):
        found["pullRequests"] = rows(PULLS)
    return answered(found)


def create_branch(call: Call) -> Response:
    """A new branch, at a revision or at main."""
    asked = call.json()
    ref = HEADS + _named(call.args["branch"])
    commit = commit_of(call, str(asked.get("startingPoint") or "main"))
    with call.repository.lock:
        if call.repository.ref(ref):
            raise Refused(409, f"Reference {ref} already exists")
        call.repository.move_ref(ref, None, commit)
    return answered({"ref": ref, "targetCommit": commit})


def delete_branch(call: Call) -> Response:
    """Remove a branch; main stays."""
    ref = HEADS + _named(call.args["branch"])
    if ref == MAIN:
        raise Refused(400, f"Cannot delete {MAIN}")
    return _delete(call, ref)


def create_tag(call: Call) -> Response:
    """A new tag of a revision; with a message, a git tag object."""
    asked = call.json()
    if not isinstance(asked.get("tag"), str):
        raise Refused(400, "`tag` must be text")
    commit = commit_of(call)
    ref = TAGS + _named(asked["tag"])
    message = asked.get("message")
    with call.repository.lock:
        if call.repository.ref(ref):
            raise Refused(409, f"Tag {asked['tag']} already exists: {ref}")
        target = commit
        if message:
            _refuse_long(call, str(message))
            target = call.repository.write_tag(asked["tag"], commit, call.author, str(message))
        call.repository.move_ref(ref, None, target)
    return answered({"ref": ref, "targetCommit": commit})


def delete_tag(call: Call) -> Response:
    """Remove a tag."""
    return _delete(call, TAGS + _named(call.args["tag"]))


def squash(call: Call) -> Response:
    """Make a branch one commit without a parent; old commits stay readable by id."""
    name = call.args["branch"]
    ref = name if name.startswith(PULLS) and not path_problem(name) else HEADS + _named(name)
    message = str(call.json().get("message") or f"Super-squash branch '{call.args['branch']}'")
    _refuse_long(call, message)
    with call.repository.lock:
        head = call.repository.ref(ref)
        if head is None:
            raise Refused(404, f"Invalid rev id: {call.args['branch']}", "RevisionNotFound")
        files = call.repository.objects.flat(call.repository.commit(head).tree)
        made = call.repository.write_commit(files, None, call.author, message)
        call.repository.move_ref(ref, head, made)
    return answered({"commitOid": made})


def _delete(call: Call, ref: str) -> Response:
    with call.repository.lock:
        now = call.repository.ref(ref)
        if now is None:
            raise Refused(404, f"Invalid rev id: {ref} does not exist", "RevisionNotFound")
        call.repository.move_ref(ref, now, None)
    return answered({})


def _refuse_long(call: Call, message: str) -> None:
    if len(message) > call.hub.limits.message:
        raise Refused(413, f"A message has at most {call.hub.limits.message} characters")
    ask_room(call.hub, call.repository, len(message))


def _named(name: str) -> str:
    problem = ref_problem(name)
    if problem:
        raise Refused(400, f"Invalid reference name {name!r}: {problem}")
    return name


_R = "api/{kind}/{org}/{name}"
ROUTES = (
    Route("GET", f"{_R}/refs", "read", refs),
    Route("POST", f"{_R}/branch/{{branch}}", "write", create_branch),
    Route("DELETE", f"{_R}/branch/{{branch}}", "write", delete_branch),
    Route("POST", f"{_R}/tag/{{rev}}", "write", create_tag),
    Route("DELETE", f"{_R}/tag/{{tag}}", "write", delete_tag),
    Route("POST", f"{_R}/super-squash/{{branch}}", "write", squash),
)
