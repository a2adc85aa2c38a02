"""The state dict of a whole pickled nn.Module, whose classes were read as stand-ins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from zoo.apart.unpickle import Inert
from zoo.errors import ForeignError

_LETTERS = 2**24  # of all names together; a module that is used twice counts twice


def module_state(module: Inert) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) pairs in the order of nn.Module.state_dict.

    Raises ForeignError for modules inside modules without end.
    """
    waiting, left = [("", module)], _LETTERS
    while waiting:
        prefix, here = waiting.pop()
        state = here.state if isinstance(here.state, dict) else {}
        children: list[tuple[str, Inert]] = []
        for kind in ("_parameters", "_buffers", "_modules"):
            for name, value in _items(state, kind):
                left -= len(prefix) + len(name) + 1
                if left < 0:
                    raise ForeignError(
                        f"the names in {module.qualified} unfold to more than {_LETTERS} letters; refused"
                    )
                if kind == "_modules" and isinstance(value, Inert):
                    children.append((f"{prefix}{name}.", value))
                elif kind != "_modules" and isinstance(value, Tensor):
                    yield f"{prefix}{name}", value
        waiting.extend(reversed(children))


def _items(state: Mapping[Any, Any], kind: str) -> list[tuple[str, Any]]:
    held = state.get(kind)
    pairs = held.items() if isinstance(held, dict) else ()
    return [(name, value) for name, value in pairs if isinstance(name, str)]
