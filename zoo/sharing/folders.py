"""A plain folder as a hub: one folder a version, NAME@VERSION, as ZOO_PATH reads it."""

from __future__ import annotations

import secrets
import shutil
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.card import README
from zoo.errors import HubError, listed
from zoo.hub.signatures import FILE

if TYPE_CHECKING:
    from zoo.sharing.pushing import Parcel, Pushed


def push(parcel: Parcel, root: Path) -> Pushed:
    """Copy a version into a folder of models, whole or not at all. Raises HubError."""
    from zoo.sharing.pushing import Pushed

    if (root / README).exists():
        raise HubError(
            f"{root} is a model itself; name the folder that is to hold models, as {root.parent}."
        )
    place = root / parcel.card.title
    if place.exists():
        raise HubError(
            f"{place} exists, and a version never changes. In {root}: "
            f"{listed(each.name for each in root.glob(f'{parcel.card.name}@*'))}."
        )
    made = root / f".{secrets.token_hex(8)}"
    try:
        for path in parcel.card.files:
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(parcel.folder / path, made / path)
        made.mkdir(parents=True, exist_ok=True)
        if parcel.envelope:
            (made / FILE).write_bytes(parcel.envelope)
        (made / README).write_bytes(parcel.text)
        made.rename(place)
    except OSError as error:
        raise HubError(f"{root} cannot be written: {error}.") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    size = parcel.card.bytes + len(parcel.text)
    digest = sha256(parcel.text).hexdigest()
    return Pushed(
        str(place), parcel.card.version, None, len(parcel.card.files) + 1, size, digest, False,
        parcel.signer,
    )  # fmt: skip
