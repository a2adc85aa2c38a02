"""Connections that only hold a place are cut: a head that never ends, an answer nobody takes.

uvicorn waits for ever for both. The bodies of requests have their own pace (`routing.Call.batches`).
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 60.0  # without a request in progress, or without a byte of an answer taken


class Patient(H11Protocol):
    """One connection; `seconds` is for tests to shorten."""

    seconds = SECONDS
    _waiting: asyncio.TimerHandle | None = None  # for a request
    _stalled: asyncio.TimerHandle | None = None  # for the client to read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._read()
        self._asked()

    def _watch(self) -> None:
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.transport.is_closing():
            self._asked()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self.seconds, self.transport.abort)

    def _asked(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _read(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
