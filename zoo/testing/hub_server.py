"""A hub for tests: a real server in a process of its own, for any client of the Hub's protocol.

    from zoo.testing.hub_server import hub_server    # a pytest fixture

    def test_push(hub_server):
        api = huggingface_hub.HfApi(hub_server.url, token=hub_server.token)

Without pytest, `with running(folder) as hub:`. Nothing is patched and nothing of the environment
is changed: give the address to the client, or set HF_ENDPOINT in a process that you start.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from zoo.errors import HubError

TOKENS = {"hf_writer": "me:write:lab", "hf_reader": "me:read:lab", "hf_other": "you:write",
          "hf_admin": "root:admin"}  # fmt: skip


@dataclass
class HubServer:
    """A hub that runs; `token` writes to the namespaces me and lab."""

    folder: Path
    url: str
    process: subprocess.Popen[str]
    options: tuple[str, ...] = ()
    token: str = "hf_writer"
    reader: str = "hf_reader"
    other: str = "hf_other"
    admin: str = "hf_admin"

    def kill(self) -> None:
        """End it as a power cut would: no handler runs."""
        _ended(self.process)

    def restart(self) -> None:
        """Serve the same folder at the same address again."""
        self.kill()
        self.process, self.url = _started(
            self.folder, int(self.url.rpartition(":")[2]), {}, self.options
        )


@contextmanager
def running(
    folder: Path,
    port: int = 0,
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[HubServer]:
    """Serve a folder while the context lasts. Raises HubError if the server does not start.

    `options` are those of `zoo hub serve`: ("--quota", "1GB").
    """
    process, url = _started(folder, port, environment or {}, tuple(options))
    hub = HubServer(folder, url, process, tuple(options))
    try:
        yield hub
    finally:
        hub.kill()


def _started(
    folder: Path, port: int, environment: Mapping[str, str], options: tuple[str, ...]
) -> tuple[subprocess.Popen[str], str]:
    tokens = ",".join(f"{token}:{rights}" for token, rights in TOKENS.items())
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.parent / f"{folder.name}.log"
    with log.open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "zoo", "hub", "serve", str(folder), "--port", str(port),
             *options],
            env={**os.environ, "ZOO_HUB_TOKENS": tokens, **environment},
            stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    line = process.stdout.readline() if process.stdout else ""
    if not line.startswith("zoo hub on "):
        _ended(process)
        raise HubError(f"The hub of {folder} did not start: {log.read_text()[-2000:]}")
    return process, line.split()[-1]


def _ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


@pytest.fixture
def hub_server(tmp_path: Path) -> Iterator[HubServer]:
    """An empty hub of its own for each test."""
    with running(tmp_path / "hub") as hub:
        yield hub
