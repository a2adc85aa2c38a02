"""What can go wrong, one class for each thing a caller would do about it.

Every message states both sides (what was asked, what exists) and the next step. `zoo.errors`
imports nothing, so that anything may raise from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ZooError(Exception):
    """The root of all errors that this package raises on purpose."""


class UnknownModel(ZooError):
    """No card of that name on any hub that was asked: look at `zoo.list()`."""


class UnknownVersion(ZooError):
    """The model exists, that version (or revision) of it does not."""


class UnknownFamily(ZooError):
    """No installed plugin answers for that family: install one, or correct the name."""


class Unsupported(ZooError):
    """The family does not implement that hook: choose a family that does."""


class PluginError(ZooError):
    """A plugin breaks the contract of `zoo.hookspecs`: for its author to mend."""


class CardError(ZooError):
    """A model card that cannot be read, or does not say what it must."""


class HubError(ZooError):
    """A hub that cannot be reached, or that answers something else than was asked."""


class WeightsError(ZooError):
    """A weights file that is damaged, was changed, or does not fit its net."""


class ForeignError(ZooError):
    """A stranger's checkpoint that cannot be read safely, or that no family recognises."""


class ImageError(ZooError, ValueError):
    """Images (or latents) of the wrong shape, type or range."""


class RequestError(ZooError, ValueError):
    """An unknown or impossible condition or sampling option."""


class CodecError(ZooError):
    """An archive that is damaged, foreign, or cannot be decoded exactly on this machine."""


class DataError(ZooError):
    """A data set that is missing, damaged, or cannot be built."""


def nearest(name: str, names: Iterable[str]) -> str:
    """A sentence " Did you mean 'x'?" with the name most like `name`, or nothing.

    It begins with a blank, made to follow another sentence.
    """
    close = get_close_matches(str(name), [str(each) for each in names], n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Names in order, separated by commas, the rest counted: "a, b and 3 more"; or "none"."""
    every = sorted(str(each) for each in names)
    shown = ", ".join(every[:limit]) or "none"
    return f"{shown} and {len(every) - limit} more" if len(every) > limit else shown
