"""Who am I, and repositories as wholes: create, delete, move, settings."""

from __future__ import annotations

from typing import Any

import yaml
from starlette.responses import Response

from zoo.errors import CardError
from zoo.front_matter import split
from zoo.hub.paths import name_problem
from zoo.hub.server.repository import Repository
from zoo.hub.server.routing import Call, Refused, Route, answered
from zoo.hub.server.store import KINDS


def whoami(call: Call) -> Response:
    """The user of a token."""
    caller = call.caller
    return answered(
        {
            "type": "user", "id": caller.user, "name": caller.user, "fullname": caller.user,
            "email": None, "emailVerified": False, "canPay": False, "isPro": False,
            "orgs": [{"type": "org", "name": org, "fullname": org} for org in caller.orgs],
            "auth": {
                "type": "access_token",
                "accessToken": {"displayName": "zoo hub", "role": caller.role},
            },
        }
    )  # fmt: skip


def harnesses(call: Call) -> Response:
    """What the client asks once a day."""
    return answered({"standardEnvVars": [], "harnesses": {}})


def telemetry(call: Call) -> Response:
    """Taken and forgotten."""
    return Response(status_code=200)


def validate_yaml(call: Call) -> Response:
    """The front matter of a README, before it is committed."""
    content = call.json().get("content")
    if not isinstance(content, str):
        raise Refused(400, "`content` must be text")
    errors: list[dict[str, str]] = []
    warnings: list[dict[str, str]] = []
    content = content.lstrip("\ufeff\r\n ")
    try:
        if content.startswith("---"):
            matter, _ = split(content, "README.md")
            if not isinstance(matter.get("model-index", []), list):
                errors.append({"message": "model-index must be a list"})
        else:
            warnings.append({"message": "empty or missing yaml metadata in repo card"})
    except CardError as error:
        unreadable = isinstance(error.__cause__, yaml.YAMLError | RecursionError)
        (errors if unreadable else warnings).append({"message": str(error)})
    return answered({"errors": errors, "warnings": warnings}, 400 if errors else 200)


def create(call: Call) -> Response:
    """A new repository in a namespace that the caller writes to."""
    asked = call.json()
    kind = f"{asked.get('type') or 'model'}s"
    namespace = asked.get("organization") or call.caller.user
    name = _name(namespace, asked.get("name"))
    if kind not in KINDS:
        raise Refused(400, f"type {asked.get('type')!r} is none of model, dataset, space, kernel")
    if not call.caller.writes(name.partition("/")[0]):
        raise Refused(403, f"The token of {call.caller.user} does not write to {namespace}")
    store = call.hub.store
    private = bool(asked.get("private")) or asked.get("visibility") == "private"
    with store.lock:
        taken = store.namesake(kind, name)
        if taken is None:
            made = store.create(kind, name, private, call.author)
            return answered({"url": call.page(made), "name": made.name, "id": made.id})
    existing = store.repository(kind, taken)
    url = call.page(existing) if existing else f"{call.base}/{taken}"
    message = f"You already created this {asked.get('type') or 'model'} repo: {taken}"
    return answered({"error": message, "url": url}, 409)


def delete(call: Call) -> Response:
    """Remove a repository and its history."""
    asked = call.json()
    namespace = asked.get("organization") or call.caller.user
    call.hub.store.delete(_writable(call, asked, _name(namespace, asked.get("name"))))
    return answered({})


def move(call: Call) -> Response:
    """Give a repository another name."""
    asked = call.json()
    found = _writable(call, asked, str(asked.get("fromRepo")))
    namespace, _, name = str(asked.get("toRepo")).partition("/")
    target = _name(namespace, name)
    if not call.caller.writes(target.partition("/")[0]):
        raise Refused(403, f"The token of {call.caller.user} does not write to {target}")
    with call.hub.store.lock:
        taken = call.hub.store.namesake(found.kind, target)
        if taken and taken != found.name:
            raise Refused(409, f"A {found.kind[:-1]} repository called {taken} already exists")
        call.hub.store.rename(found, target)
    return answered({})


def settings(call: Call) -> Response:
    """Private or public."""
    asked = call.json()
    if asked.get("gated"):
        raise Refused(501, "This hub has no gated repositories: make it private instead")
    named = {"private": True, "public": False}.get(str(asked.get("visibility")))
    private = asked.get("private", named)
    if isinstance(private, bool):
        call.hub.store.disk  # noqa: B018  refuses a read-only hub
        call.repository.set_private(private)
    return answered({"private": call.repository.private, "gated": False})


def allowed(call: Call) -> Response:
    """That the route let the caller in is the answer."""
    return answered({})


def _name(namespace: Any, name: Any) -> str:
    for part in (namespace, name):
        problem = name_problem(part) if isinstance(part, str) else "a name is text"
        if problem:
            raise Refused(400, f"Invalid repository name {namespace}/{name}: {problem}")
    return f"{namespace}/{name}"


def _writable(call: Call, asked: dict[str, Any], name: str) -> Repository:
    """The repository of a body, by the same rules as one of a path."""
    found = call.hub.store.repository(f"{asked.get('type') or 'model'}s", name)
    if found is None or (found.private and not call.caller.member(found.namespace)):
        raise Refused(404, f"Repository {name} not found", "RepoNotFound")
    if not call.caller.writes(found.namespace):
        raise Refused(403, f"The token of {call.caller.user} does not write to {found.namespace}")
    return found


_R = "api/{kind}/{org}/{name}"
ROUTES = (
    Route("GET", "api/whoami-v2", "user", whoami),
    Route("GET", "api/agent-harnesses", "open", harnesses),
    Route("HEAD", "api/telemetry/{*topic}", "open", telemetry),
    Route("POST", "api/validate-yaml", "open", validate_yaml, most="card"),
    Route("POST", "api/repos/create", "user", create),
    Route("DELETE", "api/repos/delete", "user", delete),
    Route("POST", "api/repos/move", "user", move),
    Route("PUT", f"{_R}/settings", "write", settings),
    Route("GET", f"{_R}/auth-check", "read", allowed),
    Route("GET", f"{_R}/auth-check/write", "write", allowed),
)
