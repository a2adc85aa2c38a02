"""What a process gives up before it reads a stranger's file.

The reader runs nothing that a file says; the guard is for the day that it has a hole. An audit hook (PEP 578) refuses
every event but those of `HARMLESS`: sockets, other processes, any file, ctypes, imports, compiled code. It
cannot be taken off again. Beyond that, where the system has them: limits of memory, processor time, file sizes (none
may be written), open files (no more than there are) and new processes; and on Linux, from Python 3.12 on, where users
may make them, empty name spaces of users and of the network. An audit hook sees what goes through the interpreter, not
machine code: it is a second line of defence, not a sandbox.
"""

from __future__ import annotations

import codecs
import os
import sys
from typing import Any

# what reading and describing does: identities of objects, and the interpreter's own bookkeeping
HARMLESS = frozenset({"builtins.id", "object.__getattr__", "sys._getframe"})
_CODECS = ("ascii", "cp437", "latin-1", "raw-unicode-escape", "utf-8")  # of zips and pickles


def shut(memory: int, seconds: int) -> list[str]:
    """Give up all that reading one open file does not need; the names of what now stands.

    `memory` bytes of addresses and `seconds` of processor time remain. Files that are open stay open.
    """
    for name in _CODECS:  # their modules are read now; later no import is allowed
        codecs.lookup(name)
    standing = [*_alone(), *_limited(memory, seconds), "audit hook"]
    sys.addaudithook(_refuse)
    return standing


def _refuse(event: str, _: tuple[Any, ...]) -> None:
    if event not in HARMLESS:
        raise PermissionError(f"{event} is refused while a stranger's file is read")


def _alone() -> list[str]:
    """Leave the network's name space, where the user may. EPERM and its like: the other barriers remain."""
    unshare = getattr(os, "unshare", None)  # of Linux, from Python 3.12 on
    if unshare is None:
        return []
    try:
        unshare(getattr(os, "CLONE_NEWUSER", 0) | getattr(os, "CLONE_NEWNET", 0))
    except OSError:
        return []
    return ["network name space"]


def _limited(memory: int, seconds: int) -> list[str]:
    """The limits of POSIX that this system knows and takes (macOS takes none of memory, Windows has no such module)."""
    try:
        import resource
    except ImportError:
        return []
    standing = []
    wanted = {
        "RLIMIT_AS": memory,
        "RLIMIT_CPU": seconds,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": 0,
        "RLIMIT_NOFILE": 3,
    }
    for name, value in wanted.items():
        which = getattr(resource, name, None)
        if which is None:
            continue
        hard = resource.getrlimit(which)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        most = least + 1 if name == "RLIMIT_CPU" and least != hard else least  # SIGXCPU, then KILL
        try:
            resource.setrlimit(which, (least, most))
        except (OSError, ValueError):
            continue
        standing.append(name)
    return standing
