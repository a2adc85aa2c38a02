"""Where a repository is: an endpoint, a name there, a revision.

    hf:org/repo[@revision]            the hub of HF_ENDPOINT; its token is HF_TOKEN
    lab:org/repo[@revision]           the server that ZOO_HUBS calls lab
    http://host/org/repo[@revision]   that server
    org/repo[@revision]               the hubs of ZOO_HUBS in their order, or hf if it is not set

ZOO_HUBS is the whole list, by commas: `lab=http://10.0.0.7:8077,hf`. A hub that is not on it is
asked only when it is named, so nobody can answer on the public hub for a name of the lab.
ZOO_HUB_TOKEN is a token for the servers of ZOO_HUBS, or, by commas, `lab=TOKEN` or
`http://host=TOKEN`: no host is sent a token that was not made for it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

from zoo.card import reference
from zoo.errors import HubError, UnknownModel, UnknownVersion, listed, nearest
from zoo.hub.paths import name_problem

HF = "hf"
_NAME = re.compile(r"[a-z][a-z0-9-]{1,30}")
_WRITTEN = re.compile(r"[a-z][a-z0-9-]{1,30}:[^/\\]+/[^/\\]+")


@dataclass(frozen=True)
class Address:
    """A repository of one endpoint; `str` gives it as it is written."""

    endpoint: str
    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        where = "hf:" if self.endpoint == hugging_face() else f"{self.endpoint}/"
        return f"{where}{self.repository}{at}"

    @property
    def token(self) -> str | None:
        """What is sent along, if anything."""
        if self.endpoint == hugging_face():
            from huggingface_hub import get_token

            return get_token()
        return server_token(self.endpoint)

    @property
    def name(self) -> str:
        """The repository's own name, without its organisation."""
        return self.repository.partition("/")[2]

    def at(self, revision: str | None) -> Address:
        """The same repository at another revision."""
        return replace(self, revision=revision)

    def file(self, commit: str, path: str) -> str:
        """The address of a file at a commit."""
        return f"{self.endpoint}/{self.repository}/resolve/{quote(commit, safe='')}/{quote(path)}"


def is_address(text: str) -> bool:
    """Whether a text names a repository of one hub, a known one or not."""
    if text.startswith(("http://", "https://")):
        return True
    hub, colon, _ = text.partition(":")
    return bool(colon) and (
        hub in hubs() or (bool(_WRITTEN.fullmatch(text)) and not os.path.lexists(text))
    )


def is_repository(text: str) -> bool:
    """Whether a text may be org/repo[@revision] of any hub: it fits, and is no path of this folder.

    A path whose parent is here is a path that was mistyped.
    """
    name, _ = reference(text)
    parts = name.split("/")
    if len(parts) != 2 or any(name_problem(part) for part in parts):
        return False
    return not (os.path.lexists(text) or os.path.lexists(parts[0]))


def addresses(text: str, version: str | None = None) -> list[Address]:
    """The repositories that a text may mean, in the order in which they are asked.

    Raises UnknownModel for a text that is none, UnknownVersion for two versions at once, HubError
    for a ZOO_HUBS that cannot be read.
    """
    hub, colon, rest = text.partition(":")
    if colon and hub in hubs():
        found = [_address(hubs()[hub], rest, text)]
    elif text.startswith(("http://", "https://")):
        parts = urlsplit(text)
        if not parts.netloc or parts.username or parts.query or parts.fragment:
            raise UnknownModel(f"{text!r} names no repository: it must be http://host/org/repo.")
        found = [_address(f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/"), text)]
    elif colon and "/" not in hub:
        raise UnknownModel(
            f"{text!r}: no hub is called {hub!r}.{nearest(hub, hubs())} There are: {listed(hubs())}; "
            "ZOO_HUBS=NAME=http://HOST:PORT adds one."
        )
    else:
        found = [_address(each, text, text) for each in ordered()]
    if version and any(each.revision not in (None, version) for each in found):
        raise UnknownVersion(
            f"{text} was asked for with version={version!r}: two versions. Give one."
        )
    return [each.at(version) for each in found] if version else found


def hugging_face() -> str:
    """The endpoint of `hf:`."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def hubs() -> dict[str, str]:
    """Names of hubs to their endpoints: what ZOO_HUBS names, and hf."""
    return {HF: hugging_face(), **{name: where for name, where in _listed() if name}}


def ordered() -> list[str]:
    """The endpoints that are asked for org/repo, in order."""
    return [where for _, where in _listed()] or [hugging_face()]


def _listed() -> list[tuple[str, str]]:
    found = []
    for entry in os.environ.get("ZOO_HUBS", "").split(","):
        if not (entry := entry.strip()):
            continue
        if entry == HF:
            found.append((HF, hugging_face()))
            continue
        name, _, where = entry.rpartition("=")
        parts = urlsplit(where)
        sound = parts.scheme in ("http", "https") and parts.netloc and not parts.username
        if not sound or (name and (name == HF or not _NAME.fullmatch(name))):
            raise HubError(
                f"ZOO_HUBS: {entry!r} is no hub: write hf, http://HOST:PORT or NAME=http://HOST:PORT, "
                "by commas. A NAME is two or more small letters, digits and '-'."
            )
        found.append((name, where.rstrip("/")))
    return found


def server_token(endpoint: str) -> str | None:
    """The token of ZOO_HUB_TOKEN that belongs to a server, or None. Raises HubError."""
    named = hubs()
    for entry in os.environ.get("ZOO_HUB_TOKEN", "").split(","):
        name, equals, token = entry.strip().partition("=")
        if equals and (name in named or "://" in name):
            if named.get(name, name).rstrip("/") == endpoint:
                return token
        elif equals and _NAME.fullmatch(name) and token.strip("="):  # nobody is sent another's
            raise HubError(
                f"ZOO_HUB_TOKEN: no hub is called {name!r}.{nearest(name, named)} There are: "
                f"{listed(named)}."
            )
        elif entry.strip() and endpoint in [where for _, where in _listed()]:
            return entry.strip()
    return None


def _address(endpoint: str, rest: str, text: str) -> Address:
    name, revision = reference(rest)
    parts = name.split("/")
    problems = [name_problem(part) for part in parts]
    if len(parts) != 2 or any(problems) or revision == "":
        why = next((problem for problem in problems if problem), "it needs org/repo")
        raise UnknownModel(f"{text!r} names no repository (org/repo[@revision]): {why}.")
    return Address(endpoint, name, revision)
