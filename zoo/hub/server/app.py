"""The ASGI application: routes, who asks, errors as clients read them, headers on every answer."""

from __future__ import annotations

import errno
import logging
import re
import secrets
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from zoo.errors import HubError
from zoo.hub.server import account, commits, lfs, listing, pages, proposals, refs, resolve, xet
from zoo.hub.server.files import ReadOnly
from zoo.hub.server.repository import Conflict
from zoo.hub.server.routing import Call, Hub, Refused, Route, answer, segments_of
from zoo.hub.server.running import loopback
from zoo.hub.server.store import KINDS

log = logging.getLogger("zoo.hub")
READS = ("GET", "HEAD")
LONGEST = 2_000  # characters of an error's message, which may quote what was sent
ROUTES: tuple[Route, ...] = (
    *account.ROUTES,
    *listing.ROUTES,
    *refs.ROUTES,
    *commits.ROUTES,
    *proposals.ROUTES,
    *lfs.ROUTES,
    *xet.ROUTES,
    *resolve.ROUTES,
    *pages.ROUTES,
)


class App:
    """One hub as an ASGI application."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        number = number_of(request)
        try:
            response = await answered(self.hub, request)
        except ClientDisconnect:
            return
        except Refused as error:
            response = refusal(error)
        except ReadOnly as error:
            response = refusal(Refused(403, str(error)))
        except Conflict as error:
            response = refusal(Refused(409, str(error)))
        except HubError as error:
            log.warning("%s: %s", number, error)
            response = refusal(Refused(422, str(error)))
        except Exception as error:
            log.exception("%s: unexpected", number)
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            told = f"The hub failed; its log says more under {number}"
            response = refusal(
                Refused(507, "The hub's disk is full") if full else Refused(500, told)
            )
        response.headers["X-Request-Id"] = number
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Cache-Control", "no-store")
        await response(scope, receive, send)


def number_of(request: Request) -> str:
    """What the log and the answer call a request: what the client calls it, or a new number."""
    for header in ("x-request-id", "x-amzn-trace-id"):
        named = request.headers.get(header, "")
        if re.fullmatch(r"[A-Za-z0-9=;:._-]{1,128}", named):
            return named
    return secrets.token_hex(8)


async def answered(hub: Hub, request: Request) -> Response:
    """What the route of a request answers. Raises Refused and what handlers raise."""
    name = request.url.hostname or ""
    if hub.local and not loopback(name):  # a page that gave its own name the address 127.0.0.1
        raise Refused(421, f"This hub is not {name}: ask 127.0.0.1, or serve with --url")
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    segments = segments_of(raw)
    for route in ROUTES:
        args = route.match(request.method, segments)
        if args is not None:
            return await answer(route, Call(hub, request, args))
    about = "resolve" in segments or any(segments[:2] == ["api", kind] for kind in KINDS)
    message = f"This hub does not offer {request.method} /{'/'.join(segments)}"
    raise Refused(404, message, "RepoNotFound" if about and request.method in READS else None)


def refusal(error: Refused) -> Response:
    """An error as clients read it: by the headers, then the body."""
    headers: dict[str, Any] = {
        **error.headers,
        "X-Error-Message": re.sub(r"[^ -~]", "?", error.message[:LONGEST]).strip(),
    }
    if error.code:
        headers["X-Error-Code"] = error.code
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="zoo hub"'
    return JSONResponse({"error": error.message[:LONGEST]}, error.status, headers)
