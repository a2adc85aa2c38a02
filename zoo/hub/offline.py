"""Whether the network may be used at all."""

from __future__ import annotations

import os

from zoo.errors import HubError

VARIABLES = ("ZOO_OFFLINE", "HF_HUB_OFFLINE")


def offline() -> str | None:
    """What forbids the network, as NAME=VALUE; or None."""
    for name in VARIABLES:
        if os.environ.get(name, "").lower() in ("1", "true", "yes", "on"):
            return f"{name}={os.environ[name]}"
    return None


def refuse_offline(what: str) -> None:
    """Raise HubError if one of VARIABLES forbids the network, before any socket is opened."""
    if offline():
        raise HubError(f"{what} needs the network, which {offline()} forbids.")
