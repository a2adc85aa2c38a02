"""Fresh processes, measured from outside: wall and CPU seconds as the kernel counts them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.harness import Rounds


@dataclass(frozen=True)
class Spent:
    """Of one process: seconds, and what it printed."""

    wall: float
    cpu: float
    said: str


def run_python(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Spent:
    """`python *arguments` to its end. Raises SystemExit with what it printed if it fails."""
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read().decode(errors="replace")
    if process.returncode:
        raise SystemExit(
            f"python {' '.join(arguments)[:300]}\nexited with {process.returncode}:\n{said}"
        )
    return Spent(wall, usage.ru_utime + usage.ru_stime, said)


def measure_processes(
    sides: Mapping[str, Sequence[str]], rounds: int
) -> tuple[Rounds, dict[str, list[Spent]]]:
    """Every command line by turns, after one run of each that fills the page cache and the byte code."""
    names = list(sides)
    for arguments in sides.values():
        run_python(arguments)
    spent: dict[str, list[Spent]] = {name: [] for name in names}
    for turn in range(rounds):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            spent[name].append(run_python(sides[name]))
    wall = {name: [each.wall for each in spent[name]] for name in names}
    cpu = {name: [each.cpu for each in spent[name]] for name in names}
    return Rounds(wall, cpu, 1), spent


def read_once(path: Path) -> None:
    """Bring a file into the page cache."""
    with path.open("rb") as file:
        while file.read(1 << 22):
            pass
