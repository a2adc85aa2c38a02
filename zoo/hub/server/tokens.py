"""Who asks, what they may do, and links that carry a permission of their own.

A token is 32 random bytes; the folder keeps its sha256 alone, so that a copied folder opens nothing.
`read` sees the private repositories of its namespaces, `write` also changes its namespaces, `admin`
changes all. A namespace is the user's own name or one of the token's organisations.

A link (an upload's address, a Xet token) is signed with HMAC-SHA256 under the store's secret and
says what it allows, to whom, until when; RFC 2104.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from zoo.errors import HubError
from zoo.hub.paths import name_problem
from zoo.hub.server.files import Files

ROLES = ("read", "write", "admin")
VARIABLE = "ZOO_HUB_TOKENS"
PREFIX = "hf_"  # clients warn of a token that does not begin so


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request."""

    user: str | None = None  # None: anonymous
    role: str = "none"
    orgs: tuple[str, ...] = ()
    browser: bool = False  # a password that a browser sends by itself, also for another site's page

    def member(self, namespace: str) -> bool:
        """Whether they see the private repositories of a namespace."""
        return self.role == "admin" or (
            self.user is not None and namespace in (self.user, *self.orgs)
        )

    def writes(self, namespace: str) -> bool:
        """Whether they may change repositories of a namespace."""
        return self.role in ("write", "admin") and self.member(namespace) and not self.browser


ANONYMOUS = Caller()


class Tokens:
    """The tokens of one hub: those of its folder, and those of the environment."""

    name = "tokens.json"

    def __init__(self, files: Files, environment: str | None = None) -> None:
        self.files = files
        text = os.environ.get(VARIABLE, "") if environment is None else environment
        self.given = dict(_parsed(each) for each in text.split(",") if each.strip())
        self._frozen: dict[str, dict[str, Any]] | None = None
        if not files.writable:  # a bucket is not asked again for every request
            self._frozen = self.stored()

    def stored(self) -> dict[str, dict[str, Any]]:
        """What the folder keeps, by the sha256 of the token."""
        if self._frozen is not None:
            return self._frozen
        try:
            return dict(json.loads(self.files.read(self.name)))
        except FileNotFoundError:
            return {}

    def any(self) -> bool:
        """Whether anybody can push."""
        return bool(self.given or self.stored())

    def caller(self, authorization: str | None) -> Caller | None:
        """Who sends this header; None for a token that is unknown.

        A token is looked up by its hash, so the time this takes says nothing of its letters.
        """
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        browser = (
            scheme.lower() == "basic"
        )  # the token is the password; it reads, and changes nothing
        if browser:
            try:
                token = base64.b64decode(token, validate=True).decode().partition(":")[2]
            except ValueError:
                return None
        key = digest(token.strip())
        if key in self.given:
            return replace(self.given[key], browser=browser)
        facts = self.stored().get(key)
        if facts is None:
            return None
        return Caller(facts["user"], facts["role"], tuple(facts["orgs"]), browser)

    def add(self, user: str, role: str, orgs: tuple[str, ...] = ()) -> str:
        """Make a token; it is shown once, here. Raises HubError."""
        caller = _checked(user, role, orgs)
        token = PREFIX + secrets.token_urlsafe(32)
        kept = {"user": caller.user, "role": caller.role, "orgs": caller.orgs}
        self._save({**self.stored(), digest(token): kept})
        return token

    def remove(self, user: str) -> int:
        """Take all tokens of a user away; how many."""
        before = self.stored()
        kept = {key: each for key, each in before.items() if each["user"] != user}
        self._save(kept)
        return len(before) - len(kept)

    def _save(self, tokens: Mapping[str, Any]) -> None:
        self.files.write(self.name, json.dumps(tokens, indent=1).encode(), secret=True)


def digest(token: str) -> str:
    """What is kept of a token."""
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _parsed(text: str) -> tuple[str, Caller]:
    token, *rest = text.strip().split(":")
    if len(rest) not in (2, 3) or len(token) < 3:
        raise HubError(f"{VARIABLE} must be token:user:role or token:user:role:org+org, by commas.")
    orgs = tuple(rest[2].split("+")) if len(rest) == 3 else ()
    return digest(token), _checked(rest[0], rest[1], orgs)


def _checked(user: str, role: str, orgs: tuple[str, ...]) -> Caller:
    if role not in ROLES:
        raise HubError(f"{role!r} is no role of a token: {', '.join(ROLES)}.")
    for name in (user, *orgs):
        problem = name_problem(name)
        if problem:
            raise HubError(f"{name!r} cannot be a user or an organisation: {problem}.")
    return Caller(user, role, orgs)


def sign(secret: bytes, purpose: str, seconds: int, **facts: Any) -> str:
    """A text for a URL that says `facts`, for one purpose, for some seconds."""
    said = json.dumps({**facts, "for": purpose, "until": int(time.time()) + seconds})
    body = base64.urlsafe_b64encode(said.encode()).rstrip(b"=")
    return f"{body.decode()}.{_mac(secret, body)}"


def signed(secret: bytes, purpose: str, text: str) -> dict[str, Any] | None:
    """What a signed text says, or None if it is forged, stale or for something else."""
    body, _, mac = text.partition(".")
    raw = body.encode("utf-8", "replace")
    if not hmac.compare_digest(_mac(secret, raw).encode(), mac.encode("utf-8", "replace")):
        return None
    facts = dict(json.loads(base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))))
    return facts if facts["for"] == purpose and facts["until"] > time.time() else None


def _mac(secret: bytes, body: bytes) -> str:
    return hmac.new(secret, body, sha256).hexdigest()
