"""Who says that these are the files of a version: ed25519 over an in-toto statement.

The file `signature.json` of a repository is a DSSE envelope. Its payload is an in-toto statement v1
whose subjects are the card and every file it names, by sha256, and whose predicate is the name and
version. The key's id is the public key itself, 64 hex digits.

ZOO_SIGNERS lists keys, by commas, each alone or as ORG=KEY: if it is set, nothing else is taken, and
nothing unsigned. Without it, the first key seen for an organisation of a hub is remembered in
`home()/trust/`, and from then on that organisation's models must bear it (trust on first use).

Sources: in-toto attestation v1 (Statement), DSSE v1 (the pre-authentication encoding PAE), RFC 8032.
"""

from __future__ import annotations

import base64
import json
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.card import README, Card
from zoo.errors import HubError, listed
from zoo.hub.home import home

if TYPE_CHECKING:
    from zoo.hub.store import Origin

FILE, LONGEST = "signature.json", 1 << 20
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://genzoo.dev/model-version/v1"
_KEY = re.compile(r"[0-9a-f]{64}")


def statement(card: Card, card_sha256: str) -> dict[str, Any]:
    """What is signed of a version."""
    files = {README: card_sha256, **{path: facts.sha256 for path, facts in card.files.items()}}
    subjects = [{"name": path, "digest": {"sha256": files[path]}} for path in sorted(files)]
    predicate = {"name": card.name, "version": card.version}
    return {
        "_type": STATEMENT, "subject": subjects, "predicateType": PREDICATE, "predicate": predicate,
    }  # fmt: skip


def encoded(payload: bytes) -> bytes:
    """The bytes under a signature: DSSE's pre-authentication encoding."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def checked(origin: Origin, card: Card, envelope: bytes | None) -> str | None:
    """The key that signed a version, if it is signed and may be trusted. Raises HubError."""
    allowed = _allowed(origin)
    known = trusted(origin)
    if envelope is None:
        if allowed is not None or known:
            wanted = f"ZOO_SIGNERS allows {listed(allowed)}" if allowed is not None else (
                f"its organisation signed with {known} before ({_place(origin)})"
            )  # fmt: skip
            raise HubError(f"{origin} is not signed, but {wanted}. It was not taken.")
        return None
    key = _signer(origin, card, envelope, needed=allowed is not None or known is not None)
    if key is None:
        return None
    if allowed is not None:
        if key not in allowed:
            raise HubError(
                f"{origin} is signed by {key}, which ZOO_SIGNERS does not allow ({listed(allowed)})."
            )
    elif known is None:
        _remember(origin, key)
    elif key != known:
        raise HubError(
            f"{origin} is signed by {key}, but its organisation signed with {known} before. If they "
            f"changed their key, and told you so elsewhere, delete {_place(origin)}."
        )
    return key


def trusted(origin: Origin) -> str | None:
    """The key that was first seen for the organisation of an origin."""
    try:
        key = _place(origin).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not _KEY.fullmatch(key):
        raise HubError(f"{_place(origin)} is damaged: it must hold a key of 64 hex digits.")
    return key


def _signer(origin: Origin, card: Card, envelope: bytes, needed: bool) -> str | None:
    """The key whose signature over the right statement holds. Raises HubError."""
    try:
        data = json.loads(envelope)
        payload = base64.b64decode(data["payload"], validate=True)
        (one,) = data["signatures"]
        key, signature = str(one["keyid"]), base64.b64decode(one["sig"], validate=True)
        said = json.loads(payload)
        if data["payloadType"] != PAYLOAD_TYPE or not _KEY.fullmatch(key):
            raise ValueError("it is no DSSE envelope with one ed25519 signature")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HubError(f"{origin}: {FILE} cannot be read: {error}.") from error
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        advice = "checking that needs `pip install genzoo[sign]`"
        if needed:
            raise HubError(f"{origin} is signed; {advice}.") from error
        warnings.warn(f"{origin} is signed by {key}, unchecked: {advice}.", stacklevel=2)
        return None
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, encoded(payload))
    except InvalidSignature as error:
        raise HubError(f"{origin}: the signature in {FILE} is wrong. It was not taken.") from error
    if said != statement(card, origin.card_sha256):
        raise HubError(
            f"{origin}: the signature in {FILE} is of other files or another version than the card's. "
            "It was not taken."
        )
    return key


def _allowed(origin: Origin) -> list[str] | None:
    given = os.environ.get("ZOO_SIGNERS")
    if given is None:
        return None
    organisation, found = origin.repository.partition("/")[0], []
    for entry in filter(None, (each.strip() for each in given.split(","))):
        whose, _, key = entry.rpartition("=")
        if not _KEY.fullmatch(key):
            raise HubError(f"ZOO_SIGNERS: {entry!r} is no key of 64 hex digits, nor ORG=KEY.")
        if whose in ("", organisation):
            found.append(key)
    return found


def _place(origin: Origin) -> Path:
    return home() / "trust" / Path(*origin.folder.parts[1:3])


def _remember(origin: Origin, key: str) -> None:
    place = _place(origin)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("x", encoding="utf-8") as file:
            file.write(key + "\n")
    except FileExistsError:
        if trusted(origin) != key:
            raise HubError(f"{origin}: another key came first, see {place}.") from None
    except OSError as error:
        raise HubError(f"{place} cannot be written: {error}.") from error
