"""Hook wrappers around every family: here, how long each answer takes, told to the log.

A wrapper is a generator: what stands before `yield` runs before the family answers, what it returns goes to whoever
called. It may return the answer, another one (a watermark), or raise (a filter). Put your own in its place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from typing import Any

from zoo import hookimpl

LOG = logging.getLogger("zoo_newname")


def _timed(hook: str, count: int) -> Generator[None, Any, Any]:
    """Let the family answer; log the seconds it took for `count` pictures."""
    start = time.perf_counter()
    answer = yield
    LOG.info("%s of %d pictures: %.3f s", hook, count, time.perf_counter() - start)
    return answer


@hookimpl(wrapper=True)
def sample(count: int) -> Generator[None, Any, Any]:
    """Time the drawing of pictures."""
    return (yield from _timed("sample", count))


@hookimpl(wrapper=True)
def encode(images: Any) -> Generator[None, Any, Any]:
    """Time pictures becoming latents."""
    return (yield from _timed("encode", len(images)))


@hookimpl(wrapper=True)
def decode(latents: Any) -> Generator[None, Any, Any]:
    """Time latents becoming pictures."""
    return (yield from _timed("decode", len(latents)))


@hookimpl(wrapper=True)
def log_prob(images: Any) -> Generator[None, Any, Any]:
    """Time log-probabilities."""
    return (yield from _timed("log_prob", len(images)))
