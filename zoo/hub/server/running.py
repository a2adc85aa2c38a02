"""The server as a process: uvicorn, one folder, one address."""

from __future__ import annotations

import ipaddress
import os
import socket
import warnings
from pathlib import Path

from zoo.errors import HubError
from zoo.hub.server.files import Disk
from zoo.hub.server.limits import Limits
from zoo.hub.server.store import Store
from zoo.hub.server.tokens import Tokens


def serve(
    data: str | Path,
    host: str = "127.0.0.1",
    port: int = 8077,
    limits: Limits | None = None,
    url: str | None = None,
) -> None:
    """Serve a folder (or, read-only, a URL of fsspec) until stopped.

    Raises HubError: no extra, an address for all without a token, a folder that is served already.
    """
    try:
        import uvicorn

        from zoo.hub.server.app import App
        from zoo.hub.server.patience import Patient
        from zoo.hub.server.routing import Hub
    except ImportError as error:
        raise HubError(
            f"`zoo hub serve` needs {error.name}: pip install 'genzoo[server]'."
        ) from error
    limits = limits or Limits()
    store = Store.at(data)
    tokens = Tokens(store.files)
    if not loopback(host) and not tokens.any():
        raise HubError(
            f"{host} is reachable from other machines, and this hub has no tokens: make one with "
            f"`zoo hub token --data {data} --user NAME --role write`, or serve on 127.0.0.1."
        )
    claim = claimed(store)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if store.files.writable:
            store.sweep()
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
        shown = f"[{host}]" if ":" in host else host
        print(f"zoo hub on http://{shown}:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(
            App(Hub(store, tokens, limits, url, local=loopback(host) and url is None)), http=Patient,
            log_level="warning", access_log=False, lifespan="off", ws="none", server_header=False,
            timeout_keep_alive=30, limit_concurrency=limits.connections,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        if claim is not None:
            os.close(claim)


def claimed(store: Store) -> int | None:
    """Hold the folder against a second server. Raises HubError. The kernel lets go at any death.

    Where the file system has no locks (some network shares) it warns and holds nothing.
    """
    if not isinstance(store.files, Disk) or os.name != "posix":
        return None
    import fcntl

    root = store.files.root
    try:
        handle = os.open(store.files.path("serving"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise HubError(
            f"{root} cannot be written: {error}. `zoo hub serve file://{root}` serves it read-only."
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise HubError(f"{root} is served by another process already.") from error
    except OSError as error:
        os.close(handle)
        warnings.warn(f"{root} cannot be locked ({error}): serve it once only.", stacklevel=2)
        return None
    return handle


def loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
