"""The child's life: shut the doors, read the file on standard input, say what lies where, end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import IO, Any

from zoo.apart import archive, flax, guard, wire
from zoo.errors import ForeignError

READERS: dict[str, Callable[[IO[bytes], str], Any]] = {
    "zip": archive.read_zip,
    "legacy": archive.read_legacy,
    "msgpack": flax.read,
}
_TEXT = 4000  # letters of an error


def describe(form: str, file: IO[bytes], where: str) -> str:
    """The document of `zoo.apart.wire` for an open file, or {"error": what is wrong with it}."""
    try:
        return wire.encode(READERS[form](file, where), where)
    except ForeignError as error:
        said = str(error)
    except MemoryError:
        said = f"{where} needs more memory than a file of its size should; refused"
    except Exception as error:
        said = f"{where} cannot be read as a checkpoint: {type(error).__name__}: {error}"
    return json.dumps({"error": said[:_TEXT]})


def main() -> None:
    """Arguments: the form, the file's name for messages, bytes of memory, seconds of processor time."""
    form, where, memory, seconds = sys.argv[1:]
    file = sys.stdin.buffer
    guard.shut(int(memory), int(seconds))
    sys.stdout.buffer.write(describe(form, file, where).encode("ascii"))
    sys.stdout.buffer.flush()
    os._exit(0)  # without the interpreter's own end, which the guard would not let do its work
