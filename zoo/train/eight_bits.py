"""AdamW whose moments are stored in 8 bits: 2 bytes a parameter for them instead of 8.

A moment is cut into blocks of 256 numbers; each block keeps its largest magnitude s in float32, and of every number the
nearest of 256 levels times s. The levels lie densely near 0, since moments span several powers of ten: for e = 0 ... 6,
2^e fractions between 0.1 and 1 times 10^(e - 6), of either sign for the first moment; for the second, which is never
negative, twice as many (dynamic quantization; Dettmers et al., 2022, arXiv:2110.02861, sections 2.1 and 1.3).

Written here and not taken from bitsandbytes (CUDA alone) or torchao (compiles each shape, and keeps states that are no
plain tensors): these are plain tensors, on any device, and a run that was killed goes on to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 256
SMALL = 4096  # numbers of a parameter below which its moments stay in float32


class AdamW8bit(torch.optim.Optimizer):
    """Decoupled weight decay (Loshchilov & Hutter, 2019, arXiv:1711.05101); `params` may be groups, as of AdamW."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient; `closure` is not called."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, parameter: Tensor, group: Mapping[str, Any]) -> None:
        state: dict[str, Tensor] = self.state[parameter]
        gradient = parameter.grad.float()  # type: ignore[union-attr]
        first, second = (_read(state, name, parameter) for name in ("exp_avg", "exp_avg_sq"))
        state["step"] = state.get("step", torch.zeros(())) + 1
        steps, (beta1, beta2) = state["step"].item(), group["betas"]
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        rooted = (second / (1 - beta2**steps)).sqrt_().add_(group["eps"])
        parameter.add_((first / rooted).to(parameter), alpha=-group["lr"] / (1 - beta1**steps))
        _write(state, "exp_avg", first)
        _write(state, "exp_avg_sq", second)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, which makes floats of the codes."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            for name in ("exp_avg", "exp_avg_sq"):
                if f"{name}_scale" in state:
                    state[name] = state[name].to(torch.uint8)
                    state[f"{name}_scale"] = state[f"{name}_scale"].float()


def stored(values: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
    """Numbers to codes uint8 of the same shape, and each block's scale, float32."""
    flat = values.flatten()
    blocks = F.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    scale = blocks.abs().amax(1)
    shares = blocks / scale.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    borders = _levels(signed, values.device)[1]
    codes = torch.bucketize(shares.flatten(), borders)[: len(flat)]
    if not signed:  # a second moment of 0 beside a first that is not would throw its parameter far
        codes = torch.where(flat > 0, codes.clamp(min=1), codes)
    return codes.to(torch.uint8).view_as(values), scale


def restored(codes: Tensor, scale: Tensor, signed: bool) -> Tensor:
    """What `stored` gave, back to numbers, float32."""
    levels = _levels(signed, codes.device)[0][codes.flatten().long()]
    scales = scale.repeat_interleave(BLOCK)[: len(levels)]
    return (levels * scales).view_as(codes)


def _read(state: Mapping[str, Tensor], name: str, parameter: Tensor) -> Tensor:
    if name not in state:
        return torch.zeros_like(parameter, dtype=torch.float32)
    if parameter.numel() < SMALL:
        return state[name]
    return restored(state[name], state[f"{name}_scale"], signed=name == "exp_avg")


def _write(state: dict[str, Tensor], name: str, values: Tensor) -> None:
    if values.numel() < SMALL:
        state[name] = values
    else:
        state[name], state[f"{name}_scale"] = stored(values, signed=name == "exp_avg")


def _levels(signed: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """The 256 levels, ascending, and the 255 borders between them, float32."""
    levels = torch.tensor(levels_of(signed), device=device)
    return levels, (levels[1:] + levels[:-1]) / 2


@cache
def levels_of(signed: bool) -> tuple[float, ...]:
    """The levels, ascending: 0, 1, and at each power the middles of 2^e parts (2^(e + 1) if unsigned) of [0.1, 1]."""
    found = [0.0, 1.0]
    for power in range(7):
        parts = 2 ** (power + (not signed))
        for each in range(parts):
            middle = (0.1 + 0.9 * (each + 0.5) / parts) * 10.0 ** (power - 6)
            found += [middle, -middle] if signed else [middle]
    return tuple(sorted(found))
