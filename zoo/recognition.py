"""Which family knows a stranger's checkpoint: each that has the hook `adopt` is asked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.adoption import Adoption
from zoo.errors import ForeignError, PluginError, ZooError, listed
from zoo.plugins import Family, families, family

if TYPE_CHECKING:
    from zoo.foreign import Foreign


def recognise(
    path: Path, only: str | None = None, drop: Sequence[str] = ()
) -> tuple[Foreign, Family, Adoption]:
    """The opened checkpoint but what `drop` names, the family that knows it, and what it says.

    `only` is the family to ask. Raises ForeignError unless exactly one does, UnknownFamily.
    """
    from zoo.foreign import open_checkpoint

    foreign = open_checkpoint(path).without(drop)
    return foreign, *claimed(foreign, str(path), only)


def claimed(foreign: Foreign, where: str, only: str | None = None) -> tuple[Family, Adoption]:
    """The family that knows an opened checkpoint, and what it says of it; `only`: the one to ask.

    A family that is broken is told of and keeps no other from answering. Raises ForeignError unless
    exactly one does, UnknownFamily.
    """
    said: list[tuple[Family, Adoption]] = []
    asked: list[str] = []
    broken: list[str] = []
    for name in families() if only is None else (only,):
        try:
            hooks = family(name)
            if "adopt" not in hooks.hooks:
                continue
            asked.append(name)
            adoption = _adoption(hooks, foreign)
        except PluginError as error:
            broken.append(str(error))
            continue
        if adoption is not None:
            said.append((hooks, adoption))
    if broken and said:
        warnings.warn(f"A family was not asked: {' '.join(broken)}", stacklevel=2)
    if not said:
        raise ForeignError(
            f"{where}: no installed family recognises this checkpoint (asked: {listed(asked)}). It "
            f"holds {len(foreign.keys)} tensors: {listed(foreign.keys, 4)}"
            + (
                "."
                if foreign.config
                else "; it came without a config: put its config.json or .yaml beside it."
            )
            + "".join(f" Broken: {each}" for each in broken)
        )
    if len(said) > 1:
        both = " and ".join(
            f"{hooks.name} ({hooks.distribution}: {each.layout})" for hooks, each in said
        )
        raise ForeignError(
            f"{where}: {both} all claim this checkpoint. Say which: zoo.load(..., family={said[0][0].name!r})."
        )
    return said[0]


def _adoption(hooks: Family, foreign: Foreign) -> Adoption | None:
    """What a family says of a checkpoint. Raises PluginError for any other answer, or none."""
    try:
        adoption = hooks.call("adopt", keys=foreign.keys, config=foreign.config)
    except ZooError:
        raise
    except Exception as error:  # a stranger's mistake, on a checkpoint that may be another's
        raise PluginError(
            f"{hooks.who('adopt')}: adopt of the family {hooks.name!r} raised "
            f"{type(error).__name__}: {error}. It is to answer None for what it does not know."
        ) from error
    if not isinstance(adoption, Adoption | None):
        raise PluginError(
            f"{hooks.who('adopt')}: adopt answered {type(adoption).__name__}, not a zoo.Adoption."
        )
    return adoption
