"""Keys, and signatures with them (see `zoo.hub.signatures` for what is signed and who is trusted)."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.card import Card
from zoo.errors import HubError
from zoo.hub.signatures import PAYLOAD_TYPE, encoded, statement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def make_key(path: Path) -> str:
    """Write a new private key (PKCS 8, PEM, readable by its owner alone); its public id.

    Raises HubError for a file that exists.
    """
    _, private = _classes()
    from cryptography.hazmat.primitives import serialization

    key = private.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise HubError(f"{path} exists: a key is not overwritten. Name another file.") from error
    with os.fdopen(file, "wb") as stream:
        stream.write(text)
    return _id(key)


def sign(card: Card, card_sha256: str, key: Path) -> bytes:
    """The envelope of a version. Raises HubError for a key that cannot be read."""
    own = _read(key)
    payload = json.dumps(statement(card, card_sha256), sort_keys=True).encode()
    signature = {"keyid": _id(own), "sig": base64.b64encode(own.sign(encoded(payload))).decode()}
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [signature],
    }
    return json.dumps(envelope, indent=1).encode()


def key_id(envelope: bytes) -> str:
    """The key that an envelope names."""
    return str(json.loads(envelope)["signatures"][0]["keyid"])


def _read(path: Path) -> Ed25519PrivateKey:
    _, private = _classes()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise HubError(
            f"{path}: no private key could be read: {error}. `zoo hub key {path}` makes one."
        ) from error
    if not isinstance(key, private):
        raise HubError(f"{path} holds another kind of key than ed25519; `zoo hub key` makes one.")
    return key


def _id(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _classes() -> tuple[type, type[Ed25519PrivateKey]]:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (
            Ed25519PrivateKey,
            Ed25519PublicKey,
        )
    except ImportError as error:
        raise HubError("Signing needs a library: `pip install genzoo[sign]`.") from error
    return Ed25519PublicKey, Ed25519PrivateKey
