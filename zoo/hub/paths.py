"""Which file names may travel: those that mean one file inside a folder on every system.

Both sides ask: the server before a name enters a commit, the client before a name from a server
becomes a path. Refused are traversal, absolute, drive and UNC paths, control letters, names that
Windows keeps for devices or trims, git's and the hub client's own folders, and two names that
case folding or Unicode normalisation would make one file (which of the two a reader then gets is
the attacker's choice).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST_SEGMENT = 255  # bytes of UTF-8; what ext4, APFS and NTFS can hold
LONGEST_PATH = 1024  # bytes
DEEPEST = 32  # folders
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.I)
_GIT = re.compile(r"\.git|git~[0-9]+", re.I)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_RESERVED = ("api", "models", "datasets", "spaces", "kernels")


def path_problem(path: str) -> str | None:
    """Why a repository's file may not have this path, or None."""
    if not path:
        return "it is empty"
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError:
        return "it is not Unicode text"
    if len(encoded) > LONGEST_PATH:
        return f"it has {len(encoded)} bytes, more than {LONGEST_PATH}"
    for letter in path:
        if unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp"):
            return f"it holds the invisible letter U+{ord(letter):04X}"
        if letter in '\\:*?"<>|':
            return f"it holds {letter!r}, which some systems read as more than a letter"
    segments = path.split("/")
    if len(segments) > DEEPEST:
        return f"it is {len(segments)} folders deep, more than {DEEPEST}"
    for segment in segments:
        problem = _segment_problem(segment)
        if problem:
            return problem
    if folded(path).startswith(".cache/huggingface/"):
        return "the folder .cache/huggingface belongs to the client"
    return None


def _segment_problem(segment: str) -> str | None:
    if segment in ("", ".", ".."):
        return f"the part {segment!r} does not name a file"
    if len(segment.encode("utf-8")) > LONGEST_SEGMENT:
        return f"a part has more than {LONGEST_SEGMENT} bytes"
    if segment != segment.strip() or segment.endswith("."):
        return f"the part {segment!r} begins or ends with what Windows trims"
    if _DEVICE.fullmatch(segment):
        return f"{segment!r} is a device on Windows"
    if _GIT.fullmatch(folded(segment)):
        return f"{segment!r} belongs to git"
    return None


def folded(path: str) -> str:
    """The path as the least careful file system sees it: no case, one normal form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())


def clash(paths: Iterable[str]) -> tuple[str, str] | None:
    """Two paths that cannot both be files of one folder, or None.

    They fold to one name, or one is a folder of the other.
    """
    files: dict[str, str] = {}
    folders: dict[str, tuple[str, str]] = {}  # folded folder -> (its spelling, a path in it)
    for path in sorted(paths):
        key = folded(path)
        if key in files:
            return files[key], path
        files[key] = path
        segments = path.split("/")
        for depth in range(1, len(segments)):
            folder = "/".join(segments[:depth])
            spelling, other = folders.setdefault(folded(folder), (folder, path))
            if spelling != folder:
                return other, path
    for key, (_, path) in folders.items():
        if key in files:
            return files[key], path
    return None


def name_problem(name: str) -> str | None:
    """Why a user, an organisation or a repository may not have this name, or None."""
    if not _NAME.fullmatch(name) or ".." in name or "--" in name or name.endswith(".git"):
        return (
            "a name is 1 to 96 letters, digits, '.', '_' and '-', begins with a letter or digit, "
            "and holds neither '--' nor '..'"
        )
    if name.lower() in _RESERVED or _DEVICE.fullmatch(name):
        return f"{name!r} is reserved"
    return None


def ref_problem(name: str) -> str | None:
    """Why a branch or tag may not have this name, or None. Source: git-check-ref-format."""
    problem = path_problem(name)
    if problem:
        return problem
    if any(letter in " ~^[" for letter in name) or "@{" in name or ".." in name or name == "@":
        return "git allows no blank, '~', '^', '[', '..' or '@{' in it"
    if name.startswith(("refs/", "-")) or name == "HEAD":
        return "it would be read as something else than its name"
    if any(each.startswith(".") or each.endswith(".lock") for each in name.split("/")):
        return "a part begins with '.' or ends with '.lock'"
    if re.fullmatch(r"[0-9a-f]{7,40}", name):
        return "it would be read as a commit"
    return None
