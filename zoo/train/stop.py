"""When to end early: a signal, or the time that was allowed, agreed by all processes."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

import torch

AGREE_EVERY = 10  # steps between agreements of several processes: each costs a reduction


class Stop:
    """Catches SIGTERM and SIGINT within its block; a second SIGINT interrupts at once.

    Asked after each step: `reason` is "" to go on. Signals reach only the main thread's handlers,
    so in another thread only the time budget counts.
    """

    def __init__(self, accelerator: Any, max_minutes: float | None) -> None:
        self.accelerator = accelerator
        self.until = time.monotonic() + 60 * max_minutes if max_minutes else float("inf")
        self.caught = ""
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self.before = {
                number: signal.signal(number, self._catch)
                for number in (signal.SIGTERM, signal.SIGINT)
            }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def reason(self, step: int) -> str:
        """Why training should end after `step`, alike on every process; "" to go on."""
        own = self.caught or ("its time" if time.monotonic() > self.until else "")
        if self.accelerator.num_processes == 1:
            return own
        if (step + 1) % AGREE_EVERY:
            return ""
        wish = torch.tensor(float(bool(own)), device=self.accelerator.device)
        agreed = self.accelerator.reduce(wish, "sum").item() > 0
        return own or ("another process's stop" if agreed else "")

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.caught = signal.Signals(number).name
