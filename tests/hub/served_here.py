"""A hub in this process, with limits so small that a test can reach them."""

import contextlib
import threading
import time
from types import SimpleNamespace

import uvicorn

from zoo.hub.server.app import App
from zoo.hub.server.limits import Limits
from zoo.hub.server.patience import Patient
from zoo.hub.server.routing import Hub
from zoo.hub.server.store import Store
from zoo.hub.server.tokens import Tokens


@contextlib.contextmanager
def served(data, silence=60.0, **limits):
    """The hub of a folder or URL; `silence` is what a silent connection is given."""
    store = Store.at(data)
    hub = Hub(store, Tokens(store.files, "hf_writer:me:write"), Limits(**limits), local=True)
    patient = type("Patient", (Patient,), {"seconds": silence})
    config = uvicorn.Config(App(hub), "127.0.0.1", 0, http=patient, lifespan="off", ws="none",
                            log_level="error")  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}", port=port, store=store)
    finally:
        server.should_exit = True
        thread.join()
