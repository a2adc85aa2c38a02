"""Where this machine keeps what the zoo fetched, built and verified."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The store: the folder ZOO_HOME, or ~/.cache/genzoo (below XDG_CACHE_HOME if that is set)."""
    chosen = os.environ.get("ZOO_HOME")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache).expanduser() if cache else Path.home() / ".cache") / "genzoo"


def stores() -> list[Path]:
    """The store, then those of ZOO_SHARED, which are read and never written."""
    return [home(), *_folders("ZOO_SHARED")]


def models() -> Path:
    """Converted and saved models, one folder each: NAME@VERSION."""
    return home() / "models"


def extra() -> list[Path]:
    """The folders of ZOO_PATH, which go before all others; each holds folders of models."""
    return _folders("ZOO_PATH")


def _folders(variable: str) -> list[Path]:
    given = os.environ.get(variable, "").split(os.pathsep)
    return [Path(each).expanduser() for each in given if each]
