"""A route is a method, a pattern of path segments, and the access it needs.

The raw path is split at "/" and each segment unquoted by itself: clients send the branch a/b as
`a%2Fb`, one segment. Access is decided here, before a handler runs, so that no handler can forget:

    open     anybody
    user     a known token
    read     {kind}/{org}/{name} must exist and be visible to the caller
    write    ... and the caller's token must write to its namespace
    link     a signed link allows it: `permits` asks before the body is read, or else the handler
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote, unquote

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zoo.hub.server.limits import Limits
from zoo.hub.server.repository import Repository
from zoo.hub.server.store import KINDS, Store
from zoo.hub.server.tokens import ANONYMOUS, Caller

if TYPE_CHECKING:
    from zoo.hub.server.tokens import Tokens


Answer = TypeVar("Answer")
_HALVES = re.compile(r"\\ud[89a-f]", re.IGNORECASE)


class Refused(Exception):
    """An answer that is an error; `code` is what clients map to their exceptions."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.headers = {key.replace("_", "-"): value for key, value in headers.items()}


@dataclass
class Hub:
    """What all requests share."""

    store: Store
    tokens: Tokens
    limits: Limits = field(default_factory=Limits)
    url: str | None = None  # as clients reach it; by default the host they asked for
    local: bool = False  # it answers to names of this machine alone
    limiter: anyio.CapacityLimiter | None = None  # of threads for handlers; made in the event loop
    buffered: int = 0  # bytes of bodies in memory; counted in the event loop alone


@dataclass
class Call:
    """One request on its way to a handler."""

    hub: Hub
    request: Request
    args: dict[str, str]
    caller: Caller = ANONYMOUS
    found: Repository | None = None
    body: bytes = b""

    @property
    def repository(self) -> Repository:
        """The repository that the route names."""
        if self.found is None:
            raise Refused(404, "Repository not found", "RepoNotFound")
        return self.found

    @property
    def author(self) -> str:
        """Who signs a commit."""
        return self.caller.user or "anonymous"

    @property
    def base(self) -> str:
        """The address that the client knows this hub by."""
        url = self.hub.url or f"{self.request.url.scheme}://{self.request.url.netloc}"
        return url.rstrip("/")

    def page(self, repository: Repository) -> str:
        """A repository's address."""
        prefix = "" if repository.kind == "models" else f"{repository.kind}/"
        return f"{self.base}/{prefix}{repository.name}"

    async def work(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Run what blocks in a thread, few at once; downloads have threads of their own."""
        hub = self.hub
        if hub.limiter is None:
            hub.limiter = anyio.CapacityLimiter(hub.limits.handlers)
        return await anyio.to_thread.run_sync(function, *arguments, limiter=hub.limiter)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises Refused."""
        try:
            value = read_json(self.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"The body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise Refused(400, "The body must be a JSON object")
        return value

    async def poured(self, limit: int, write: Callable[[int, bytes], None]) -> int:
        """Give the body to `write(offset, piece)`, a piece while the next one comes; how many bytes came."""
        seen, writing = 0, None
        try:
            async for piece in self.batches(limit, 2 << 20):
                if writing is not None:
                    await writing
                writing = asyncio.create_task(self.work(write, seen, piece))
                seen += len(piece)
        finally:  # whatever happened, no thread writes any more when this returns
            if writing is not None:
                with anyio.CancelScope(shield=True):
                    await writing
        return seen

    async def batches(self, limit: int, size: int = 1 << 20) -> AsyncIterator[bytes]:
        """The body in pieces of about `size`, at most `limit` bytes, no pause too long."""
        seen, limits = 0, self.hub.limits
        held: list[bytes] = []
        waiting = 0
        stream, begun = self.request.stream(), monotonic()
        while True:
            with anyio.move_on_after(limits.seconds) as patience:
                piece = await anext(stream, None)
            if patience.cancelled_caught:
                raise Refused(408, f"Nothing came for {limits.seconds:g} seconds")
            if piece is None:
                break
            seen += len(piece)
            if monotonic() - begun > limits.seconds + seen / limits.slowest:
                raise Refused(408, f"The body comes at less than {limits.slowest} bytes a second")
            if seen > limit:
                raise Refused(413, f"The body has more than {limit} bytes")
            held.append(piece)
            waiting += len(piece)
            if waiting >= size:
                yield b"".join(held)
                held, waiting = [], 0
        if waiting:
            yield b"".join(held)


Sync = Callable[[Call], Response]
Async = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """`{x}` is one segment, `{kind}` one of models, datasets ..., `{*x}` all that follow."""

    method: str
    pattern: str
    access: str
    handler: Sync | Async
    streams: bool = False  # an async handler that reads the body itself
    most: str = "json"  # which of `Limits` holds for a body that it does not read itself
    permits: Callable[[Call], object] | None = None  # of a link; raises Refused

    def match(self, method: str, segments: list[str]) -> dict[str, str] | None:
        """The arguments of a request that this route answers, or None."""
        if method != self.method and not (method == "HEAD" and self.method == "GET"):
            return None
        wanted = self.pattern.split("/")
        args = {"kind": "models"}
        for index, part in enumerate(wanted):
            if part.startswith("{*"):
                args[part[2:-1]] = "/".join(segments[index:])
                return args
            if index >= len(segments) or not _fits(part, segments[index], args):
                return None
        return args if len(wanted) == len(segments) else None


def _fits(part: str, segment: str, args: dict[str, str]) -> bool:
    if not part.startswith("{"):
        return part == segment
    name, suffix = part[1:].split("}")
    if suffix and not segment.endswith(suffix):
        return False
    value = segment.removesuffix(suffix) if suffix else segment
    if not value or (name == "kind" and value not in KINDS):
        return False
    args[name] = value
    return True


def segments_of(raw: bytes) -> list[str]:
    """The path's parts, each unquoted by itself. Raises Refused for bytes that are no UTF-8."""
    text = raw.partition(b"?")[0].decode("ascii", "replace").strip("/")
    try:
        return [unquote(part, errors="strict") for part in text.split("/")]
    except UnicodeDecodeError as error:
        raise Refused(400, "The path is not UTF-8") from error


async def answer(route: Route, call: Call) -> Response:
    """Check access, read the body where the handler does not, run the handler."""
    await call.work(authorise, route, call)
    if route.streams:
        return await cast(Async, route.handler)(call)
    hub, pieces = call.hub, list[bytes]()
    try:
        async for piece in call.batches(getattr(hub.limits, route.most), 1 << 16):
            pieces.append(piece)
            hub.buffered += len(piece)
            if hub.buffered > hub.limits.buffered:
                raise Refused(503, "Too many bodies at once: ask again", Retry_After="2")
        call.body = b"".join(pieces)
        return await call.work(cast(Sync, route.handler), call)
    finally:
        hub.buffered -= sum(map(len, pieces))


def authorise(route: Route, call: Call) -> None:
    """Raise Refused unless the caller may use this route; sets `call.caller` and `call.found`."""
    if route.access == "link":  # its permission is in the address, or is no user's token
        if route.permits:
            route.permits(call)
        return
    caller = call.hub.tokens.caller(call.request.headers.get("authorization"))
    if caller is None:
        raise Refused(401, "Invalid user token: this hub does not know it")
    call.caller = caller
    if route.access == "open":
        return
    known = call.caller.user is not None
    if route.access == "user":
        if not known:
            raise Refused(401, "Give a token: HF_TOKEN, made with `zoo hub token`")
        return
    name = f"{call.args['org']}/{call.args['name']}"
    found = call.hub.store.named(call.args["kind"], name)
    if found is None or (found.private and not call.caller.member(found.namespace)):
        hint = "" if known else ", or it is private: give a token"
        raise Refused(404 if known else 401, f"Repository not found{hint}", "RepoNotFound")
    if route.access == "write" and not call.caller.writes(found.namespace):
        if not known:
            raise Refused(401, f"A token is needed to change {name}: set HF_TOKEN")
        raise Refused(403, f"The token of {call.caller.user} does not write to {found.namespace}")
    call.found = found


def read_json(raw: bytes) -> Any:
    """JSON that can be written as UTF-8 again: no half of a surrogate pair. Raises ValueError."""
    text = raw.decode("utf-8")
    value = json.loads(text)
    if _HALVES.search(text):
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def answered(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON."""
    return JSONResponse(value, status, dict(headers or {}))


def link(call: Call, cursor: str) -> dict[str, str]:
    """The header that names the next page, which begins at `cursor`."""
    kept = [pair for pair in call.request.query_params.multi_items() if pair[0] != "cursor"]
    query = "&".join(f"{quote(key)}={quote(value)}" for key, value in [*kept, ("cursor", cursor)])
    path = cast(bytes, call.request.scope["raw_path"]).partition(b"?")[0].decode("ascii")
    return {"Link": f'<{call.base}{path}?{query}>; rel="next"'}
