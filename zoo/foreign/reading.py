"""A stranger's file, described by a process of its own (`zoo.apart`), which is told nothing and may do nothing.

The child gets the open file as standard input, the path as text for messages, and an environment of a few settings of
the dynamic linker: no tokens, no proxies, no PYTHONPATH. Its limits follow from the file's size; its answer has a
largest length. A child that dies or takes too long is a ForeignError.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO, Any

from zoo.apart.wire import LONGEST
from zoo.errors import ForeignError

_ROOT = Path(__file__).resolve().parents[2]
_KEPT = (
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SYSTEMROOT",
)  # without which some Pythons do not start
_ANSWER = LONGEST + 2**22  # what the table of storages may add
PATIENCE = 12  # on a busy machine
_BEGIN = "import sys; sys.path.append(sys.argv.pop(1))\n"
MAIN = "from zoo.apart.child import main; main()"


@dataclass(frozen=True)
class Limits:
    """What one file may cost: `memory` bytes, `seconds` of processor time, `PATIENCE` times that by the clock."""

    memory: int
    seconds: int

    @classmethod
    def of(cls, size: int) -> Limits:
        """For a file of `size` bytes: the numbers are never read, so that most files need 50 MB and 0.1 s."""
        return cls(2**30 + size, 10 + size // 2**24)


def describe(path: Path, form: str, limits: Limits | None = None) -> dict[str, Any]:
    """The child's answer about a file in one of the forms of `zoo.apart.child`, not yet believed.

    Raises ForeignError: what the child says is wrong with the file, or that it died, took too long or said too much.
    """
    with path.open("rb") as file:
        limits = limits or Limits.of(os.fstat(file.fileno()).st_size)
        words = (form, str(path), str(limits.memory), str(limits.seconds))
        said, status, late = _answer(start(MAIN, *words, stdin=file), PATIENCE * limits.seconds)
    if late or (status < 0 and -status == getattr(signal, "SIGXCPU", None)):
        raise ForeignError(
            f"{path} took more than {limits.seconds} s of processor time (or {PATIENCE} times as long by the clock) "
            "to read, which no checkpoint of its size does; refused"
        )
    if len(said) > _ANSWER:
        raise ForeignError(f"{path} has a description of more than {_ANSWER} bytes; refused")
    if status != 0:
        last = said.decode("utf-8", "replace").strip().rpartition("\n")[2][:400]
        raise ForeignError(
            f"{path}: the process that read it died ({_ending(status)}). {last} The file is damaged or hostile, or "
            f"{sys.executable} does not start; get the weights as safetensors."
        )
    try:
        answer = json.loads(said)
    except (ValueError, RecursionError) as error:
        raise ForeignError(f"{path}: the process that read it answered no JSON: {error}") from error
    if not isinstance(answer, dict):
        raise ForeignError(f"{path}: the process that read it answered no description")
    if isinstance(wrong := answer.get("error"), str):
        raise ForeignError(wrong)
    return answer


def start(program: str, *words: str, stdin: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """A Python of this version that knows its own library and zoo, in an empty environment; errors go to its output.

    Raises ForeignError where there is no interpreter to start.
    """
    options = ["-I", "-S", "-X", "utf8", "-W", "ignore", *(["-B"] * sys.dont_write_bytecode)]
    try:
        return subprocess.Popen(
            [sys.executable, *options, "-c", _BEGIN + program, str(_ROOT), *words],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"LC_ALL": "C", **{key: os.environ[key] for key in _KEPT if key in os.environ}},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, ValueError, TypeError) as error:
        raise ForeignError(
            f"a pickle is read by a process of its own, and {sys.executable!r} cannot be started: {error}. "
            "Get the weights as safetensors."
        ) from error


def _answer(child: subprocess.Popen[bytes], seconds: float) -> tuple[bytes, int, bool]:
    """(what it said, at most one byte too many; its exit status; whether time ran out)."""
    late: list[bool] = []

    def end() -> None:
        late.append(True)
        child.kill()

    timer = Timer(seconds, end)
    with child:
        timer.start()
        try:
            assert child.stdout is not None
            said = child.stdout.read(_ANSWER + 1)
            if len(said) > _ANSWER:
                child.kill()
            child.wait()
        except BaseException:
            child.kill()
            raise
        finally:
            timer.cancel()
            timer.join()
    return said, child.returncode, bool(late)


def _ending(status: int) -> str:
    return f"{signal.strsignal(-status)}" if status < 0 else f"status {status}"
