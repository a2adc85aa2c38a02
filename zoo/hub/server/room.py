"""Whether more bytes may come: the size of one file, a repository's quota, the hub's disk.

What is on its way counts as taken, or many uploads at once would each find the same room.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zoo.hub.server.limits import Limits
from zoo.hub.server.repository import Repository
from zoo.hub.server.routing import Call, Hub, Refused


def no_room(limits: Limits, size: int, used: int, free: int) -> str | None:
    """Why `size` bytes may not come where the repository would then hold `used`, the disk `free`."""
    if size > limits.large:
        return f"{size} bytes; this hub takes files of at most {limits.large}"
    if used > limits.repository:
        return f"the repository would hold {used} bytes; its quota is {limits.repository}"
    if free < limits.spare:
        return "the hub's disk is full: delete repositories, then run `zoo hub tidy`"
    return None


def free(hub: Hub) -> int:
    """Bytes that the disk still takes."""
    return shutil.disk_usage(hub.store.disk.root).free


def ask_room(hub: Hub, repository: Repository, size: int) -> None:
    """Raise Refused unless a file of `size` bytes may come into a repository."""
    used = repository.used() + repository.coming + size
    _refuse(no_room(hub.limits, size, used, free(hub) - size))


@asynccontextmanager
async def room(
    call: Call, repository: Repository, size: int, beside: int = 0
) -> AsyncIterator[None]:
    """Hold room for `size` bytes while they come, `beside` what waits there already.

    For the event loop alone. Raises Refused.
    """
    repository.coming += size
    try:
        await call.work(_ask_more, call.hub, repository, size, beside)
        yield
    finally:
        repository.coming -= size


def _ask_more(hub: Hub, repository: Repository, size: int, beside: int) -> None:
    used = repository.used() + repository.coming + beside
    _refuse(no_room(hub.limits, 0, used, free(hub) - size))


def _refuse(problem: str | None) -> None:
    if problem:
        raise Refused(507, problem)
