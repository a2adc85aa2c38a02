"""The file zoo.lock: which bytes a project was made with.

JSON, sorted, made to be committed beside the code: for each model its hub, repository, revision as
asked and commit, the card's sha256, the signer, and every file's size and sha256. A model's parts
are entries of their own. ZOO_LOCK=zoo.lock holds `zoo.load` to it.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from zoo.card import Card, File
from zoo.errors import HubError
from zoo.hub.store import Origin

NAME = "zoo.lock"


@dataclass(frozen=True)
class Entry:
    """One model; `origin` is None for one that ships with the package."""

    name: str  # org/repo or the card's name
    version: str
    card_sha256: str
    files: Mapping[str, File]
    origin: Origin | None

    @property
    def title(self) -> str:
        """name@version."""
        return f"{self.name}@{self.version}"


def entry(card: Card, card_sha256: str, origin: Origin | None) -> Entry:
    """The entry of a model that is here."""
    name = origin.repository if origin else card.name
    return Entry(name, card.version, card_sha256, dict(card.files), origin)


def read(path: Path) -> list[Entry]:
    """The entries of a lock file. Raises HubError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != 1:
            raise ValueError(f"schema {data['schema']!r}, this genzoo reads 1")
        return [
            Entry(
                each["name"], each["version"], each["card_sha256"],
                {name: File(**facts) for name, facts in each["files"].items()},
                Origin(**each["origin"]) if each["origin"] else None,
            )
            for each in data["models"]
        ]  # fmt: skip
    except FileNotFoundError as error:
        raise HubError(f"There is no {path}: `zoo lock NAME...` writes one.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HubError(
            f"{path} cannot be read as a lock: {type(error).__name__}: {error}."
        ) from error


def write(path: Path, entries: Iterable[Entry]) -> None:
    """Write a lock file, all or nothing."""
    zoo_version = importlib.metadata.version("genzoo")
    ordered = sorted(entries, key=lambda each: each.title)
    data = {
        "schema": 1, "zoo_version": zoo_version, "models": [asdict(each) for each in ordered],
    }  # fmt: skip
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    unfinished.replace(path)
