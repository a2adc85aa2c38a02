"""A net's shapes without its first values: what is needed to lay weights into it, and nothing else.

Inside `shapes_only()` tensors are made on the meta device, and what would fill them (random draws, nn.init, in-place
arithmetic, a number times a draw) does nothing. On the meta device it changes nothing anyway, but the first such call
of a process makes torch import its Python decompositions and with them sympy and a thousand modules: 1.4 s of CPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_IN_PLACE = (
    "add_ bernoulli_ clamp_ copy_ div_ erfinv_ exponential_ fill_ mul_ normal_ random_ sub_ "
    "uniform_ zero_"
)
_INITS = [name for name in dir(nn.init) if name.endswith("_") and name[0] != "_"]
_FILLS: frozenset[Callable[..., Any]] = frozenset(
    [getattr(nn.init, name) for name in _INITS]
    + [getattr(Tensor, name) for name in _IN_PLACE.split()]
)
_DRAWS = frozenset((torch.rand, torch.randn))
_SCALES: frozenset[Callable[..., Any]] = frozenset(
    getattr(torch, name) for name in ("mul", "div")
) | frozenset(
    getattr(Tensor, name) for name in ("mul", "div", "__mul__", "__rmul__", "__truediv__")
)


class _Unfilled(TorchFunctionMode):
    """Leaves meta tensors as they are and turns random draws into empty ones."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func in _DRAWS:
            named.pop("generator", None)
            return torch.empty(*args, **named)
        if func in _FILLS:
            target = args[0] if args else named.get("tensor")
            if isinstance(target, Tensor) and target.is_meta:
                return target
        if func in _SCALES and len(args) == 2 and not named:
            scaled, by = args if isinstance(args[0], Tensor) else args[::-1]
            if scaled.is_meta and scaled.is_floating_point() and isinstance(by, int | float):
                return scaled
        return func(*args, **named)


@contextlib.contextmanager
def shapes_only() -> Iterator[None]:
    """Make tensors on the meta device and fill none of them."""
    with torch.device("meta"), _Unfilled():
        yield
