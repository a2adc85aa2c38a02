"""Files beside a card or a recipe whose content is part of the config: a vocabulary, a list of names.

A config may hold {"file": NAME} (a mapping with exactly that key) in any place. NAME is a JSON file in the folder of
the card, which vouches for it by its sha256, or of the recipe. Whoever builds the net puts the content there first, so
a family's `build` sees plain data.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import CardError
from zoo.schema import safe_path


def names(config: Any) -> list[str]:
    """The files that a config names, each once, in order."""
    if isinstance(config, Mapping):
        if set(config) == {"file"} and isinstance(config["file"], str):
            return [config["file"]]
        config = list(config.values())
    if not isinstance(config, list | tuple):
        return []
    return list(dict.fromkeys(name for each in config for name in names(each)))


def filled(config: Mapping[str, Any], folder: Path | None, whose: str) -> dict[str, Any]:
    """`config` with the content of its files, which lie in `folder`; `whose` begins the messages: the card's title.

    Raises CardError for a name that leaves the folder, a file that is not there and one that is no JSON.
    """
    found = {name: _read(name, folder, whose) for name in names(config)}
    return {key: _put(value, found) for key, value in config.items()}


def copy(config: Mapping[str, Any], source: Path | None, target: Path, whose: str) -> None:
    """Copy the files that a config names into another folder.

    Raises CardError as `filled` does, and for a file that is in `target` with another content.
    """
    filled(config, source, whose)
    if source is None:  # and nothing is named
        return
    for name in names(config):
        old, new = source / name, target / name
        if old.resolve() == new.resolve():
            continue
        if new.is_file() and new.read_bytes() != old.read_bytes():
            raise CardError(
                f"{whose}: {old} is not the {name} that {target} was begun with. Put the old one back, or take another "
                "folder."
            )
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(old, new)


def _read(name: str, folder: Path | None, whose: str) -> Any:
    if not safe_path(name):
        raise CardError(
            f"{whose}: config names the file {name!r}, which is no plain path inside its folder."
        )
    if folder is None:
        raise CardError(
            f"{whose}: config takes the content of {name!r}, but there is no folder to find it in. Put the content in "
            "its place, or give the folder (a recipe by its path)."
        )
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except OSError as error:
        raise CardError(
            f"{whose}: config takes the content of {folder / name}, which cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise CardError(f"{whose}: {folder / name} is no JSON: {error}.") from error


def _put(value: Any, found: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if named := names(value) if set(value) == {"file"} else []:
            return found[named[0]]
        return {key: _put(each, found) for key, each in value.items()}
    return [_put(each, found) for each in value] if isinstance(value, list | tuple) else value
