"""normflows' modules as ours: read from the names and shapes in its weights.

There `forward` is the sampling direction, z to x, and a coupling's net gives shift and scale
interleaved. A chain here is a list of our maps in that order and direction; a map of ours that runs
the other way is `Reversed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from zoo.errors import ForeignError
from zoo_flow.bijections import ActNorm, Coupling, Invertible1x1, Permute

State = Mapping[str, Tensor]


class Reversed(nn.Module):
    """The inverse of a map, as a map."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, C, *S) -> the same, and the log-determinant (B,)."""
        y: Tensor = self.inner.inverse(x, cond)  # type: ignore[operator]
        return y, -self.inner(y, cond)[1]

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        """(B, C, *S) -> the same."""
        out: Tensor = self.inner(y, cond)[0]
        return out


class Unsqueeze(nn.Module):
    """(B, 4 C, H, W) -> (B, C, 2 H, 2 W)."""

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Give the larger picture, and zeros (B,)."""
        return nn.functional.pixel_shuffle(x, 2), x.new_zeros(len(x))

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        """Give the smaller picture with more channels."""
        return nn.functional.pixel_unshuffle(y, 2)


class Net(nn.Module):
    """A coupling's net: linear or convolution layers with leaky ReLU, some with an ActNorm.

    Its outputs t, s, t, s, ... are put as (s, t); without scales s is 0.
    """

    def __init__(self, state: State, scaled: bool, leaky: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        numbers = sorted({int(key.split(".")[0]) for key in state})
        for number in numbers:
            part = below(state, f"{number}.")
            if any(key.startswith("actNorm.") for key in part):
                layers.append(_First(actnorm(below(part, "actNorm."))))
                continue
            if layers:
                layers.append(nn.LeakyReLU(leaky))
            layers.append(_layer(part))
        self.layers, self.scaled = nn.Sequential(*layers), scaled

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """(B, inputs, *S) -> (B, outputs, *S)."""
        told: Tensor = self.layers(x)
        if not self.scaled:
            return torch.cat([torch.zeros_like(told), told], dim=1)
        return torch.cat([told[:, 1::2], told[:, 0::2]], dim=1)


class _First(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)[0]
        return out


def _layer(part: State) -> nn.Module:
    weight = part["weight"]
    layer: nn.Linear | nn.Conv2d
    if weight.ndim == 2:
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in part)
    else:
        size = weight.shape[-1]
        layer = nn.Conv2d(
            weight.shape[1], weight.shape[0], size, padding=size // 2, bias="bias" in part
        )
    layer.load_state_dict(dict(part), strict=True)
    return layer


class Checkerboard(Coupling):
    """A coupling whose parts are the two colours of a checkerboard over channel, row and column.

    Each part keeps the shape but for the last side, which is halved.
    """

    def __init__(self, net: nn.Module, scale: str, inverted: bool) -> None:
        super().__init__(net, 0, scale=scale)
        self.colour = 0 if inverted else 1

    def _mask(self, shape: Sequence[int]) -> Tensor:
        at = torch.stack(torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij"))
        return (at.sum(0) % 2 == self.colour).flatten()

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Each (B, C, H, W / 2)."""
        mask, flat = self._mask(x.shape[1:]), x.flatten(1)
        half = (*x.shape[1:-1], x.shape[-1] // 2)
        return flat[:, mask].view(-1, *half), flat[:, ~mask].view(-1, *half)

    def whole(self, stays: Tensor, moves: Tensor) -> Tensor:
        """(B, C, H, W)."""
        shape = (*stays.shape[1:-1], stays.shape[-1] * 2)
        mask = self._mask(shape)
        out = stays.new_empty(len(stays), mask.numel())
        out[:, mask], out[:, ~mask] = stays.flatten(1), moves.flatten(1)
        return out.view(-1, *shape)


SCALES = {"exp": "exp", "sigmoid": "inverse-sigmoid", "sigmoid_inv": "sigmoid"}


def below(state: State, start: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `start`, without it."""
    return {key[len(start) :]: value for key, value in state.items() if key.startswith(start)}


def numbers(state: State) -> list[int]:
    """The first parts of the names, as sorted numbers."""
    return sorted({int(key.split(".")[0]) for key in state})


def coupling(
    state: State, channels: int, scale_map: str, scaled: bool, split: str, leaky: float
) -> Coupling:
    """An AffineCouplingBlock; `state` holds its `flows.1.param_map.net.*`."""
    net = Net(below(state, "flows.1.param_map.net."), scaled, leaky)
    if scale_map not in SCALES:
        raise ForeignError(f"scale_map {scale_map!r} is none of {', '.join(SCALES)}")
    scale = SCALES[scale_map] if scaled else "exp"
    if split.startswith("checkerboard"):
        return Checkerboard(net, scale, inverted="inv" in split)
    first = (channels + 1) // 2  # what torch.chunk puts first
    return Coupling(net, first, flip=split == "channel_inv", scale=scale)


def actnorm(state: State) -> ActNorm:
    """An ActNorm with `s` and `t`."""
    made = ActNorm(tuple(state["s"].shape[1:]), elementwise=True)
    made.load_state_dict(
        {"log_scale": state["s"], "shift": state["t"], "ready": torch.ones((), dtype=torch.uint8)}
    )
    return made


def convolution(state: State) -> Invertible1x1:
    """An Invertible1x1Conv, from its factors or from the plain matrix W, factorised in float64."""
    if "W" in state:
        p, lower, upper = torch.linalg.lu(state["W"].double())
        given = {"permutation": p, "lower": lower.tril(-1), "upper": upper.triu(1)}
        given |= {"sign": upper.diagonal().sign(), "log_s": upper.diagonal().abs().log()}
    else:
        names = {"permutation": "P", "lower": "L", "upper": "U", "sign": "sign_S", "log_s": "log_S"}
        given = {ours: state[theirs] for ours, theirs in names.items()}
    made = Invertible1x1(len(given["log_s"])).to(given["log_s"].dtype)
    made.load_state_dict(given)
    return made


def permutation(state: State, channels: int) -> Permute:
    """A Permute: "shuffle" has its order in the weights, "swap" exchanges the halves."""
    if "perm" in state:
        return Permute(state["perm"].tolist())
    half = channels // 2
    return Permute([*range(half, channels), *range(half)])
