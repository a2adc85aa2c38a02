"""Files of models on this machine: read again, and fetched again where they are not what they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from zoo import hub, weights
from zoo.card import README, Card
from zoo.errors import HubError, WeightsError, ZooError
from zoo.hub.download import blob, fetch, sha256_of
from zoo.hub.pulling import card_text
from zoo.hub.store import Origin, kept, link


@dataclass
class Verdict:
    """What reading a model again found."""

    model: str
    folder: str
    files: int = 0
    bytes: int = 0
    healed: list[str] = field(default_factory=list)
    error: str | None = None


def verdicts(names: Sequence[str], heal: bool = True) -> Iterator[Verdict]:
    """Verify models, every version of every model here if none is named; fetch what is damaged.

    Models that came from no hub cannot be healed. Raises UnknownModel and UnknownVersion for names.
    """
    for title, folder, origin in _named(names) if names else _every():
        verdict = Verdict(title, str(folder))
        try:
            if isinstance(origin, HubError):
                raise origin
            card, verdict.healed = restored(folder, origin, heal)
            verdict.files, verdict.bytes = len(card.files), card.bytes
        except (ZooError, OSError) as error:
            verdict.error = str(error)
        yield verdict


def restored(folder: Path, origin: Origin | None, heal: bool) -> tuple[Card, list[str]]:
    """A model's card and what was fetched again, all verified. Raises WeightsError, HubError."""
    healed = []
    if origin is not None and not _card_is_right(folder, origin):
        if not heal:
            raise WeightsError(
                f"{folder / README} is not the card that was pulled from {origin}: fetch it again."
            )
        text = card_text(origin.address, origin.commit)
        if sha256(text).hexdigest() != origin.card_sha256:
            raise HubError(
                f"{folder / README} is damaged, and {origin} has another card now: it cannot be healed."
            )
        (folder / README).unlink(missing_ok=True)
        (folder / README).write_bytes(text)
        healed.append(README)
    card = Card.read(folder)
    for path, facts in card.files.items():
        try:
            weights.verify(folder / path, facts.sha256, facts.size)
            continue
        except WeightsError:
            if origin is None or not heal:
                raise
        shared = blob(facts.sha256)
        if shared.exists() and sha256_of(shared) != facts.sha256:
            shared.unlink()  # another name of the same damaged file
        address = origin.address
        fresh = fetch(address.file(origin.commit, path), facts.sha256, facts.size, address.token)
        (folder / path).unlink(missing_ok=True)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        link(fresh, folder / path)
        weights.verify(folder / path, facts.sha256, facts.size)
        healed.append(path)
    return card, healed


def _card_is_right(folder: Path, origin: Origin) -> bool:
    try:
        return sha256((folder / README).read_bytes()).hexdigest() == origin.card_sha256
    except FileNotFoundError:
        return False


def _every() -> Iterator[tuple[str, Path, Origin | HubError | None]]:
    for each in hub.installed():
        yield each.card.title, each.folder, None
    for folder, origin in kept():
        yield str(origin) if isinstance(origin, Origin) else folder.name, folder, origin


def _named(names: Sequence[str]) -> Iterator[tuple[str, Path, Origin | HubError | None]]:
    """The models of some names; a pulled one is found although its card is damaged."""
    damaged = {str(origin): (folder, origin) for folder, origin in kept()}
    damaged |= {
        f"{origin.repository}@{origin.version or origin.commit}": (folder, origin)
        for folder, origin in kept()
        if isinstance(origin, Origin)
    }
    for name in names:
        if name in damaged:
            yield name, *damaged[name]
            continue
        found = hub.resolve(name)
        title = str(found.origin) if found.origin else found.card.title
        yield title, found.folder, found.origin
