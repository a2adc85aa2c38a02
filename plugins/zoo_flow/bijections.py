"""The invertible maps that flows are made of, each with its exact log-determinant.

    y = f(x),   log p_X(x) = log p_Y(f(x)) + log |det df/dx|

ActNorm and the invertible 1x1 convolution are Glow's (Kingma & Dhariwal, 2018, arXiv:1807.03039),
space-to-depth and the affine coupling RealNVP's (Dinh et al., 2016, arXiv:1605.08803). A map takes
(B, C, *S) with S the positions: (H, W) for pictures, nothing for vectors.

`forward(x, cond)` gives (y, log-determinant (B,)), `inverse(y, cond)` gives x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F


def positions(x: Tensor) -> int:
    """How many positions (B, C, *S) has: H W, or 1 for vectors."""
    return math.prod(x.shape[2:])


class ActNorm(nn.Module):
    """y = exp(log_scale) * x + shift, one scale and shift a channel (or, `elementwise`, a number).

    The first batch seen in training sets them so that y has mean 0 and variance 1; whether that has
    happened is the buffer `ready`, so a resumed run does not start anew. With several processes
    they share the statistics.
    """

    ready: Tensor

    def __init__(self, shape: Sequence[int], elementwise: bool = False) -> None:
        super().__init__()
        kept = tuple(shape) if elementwise else (shape[0], *(1 for _ in shape[1:]))
        self.log_scale = nn.Parameter(torch.zeros(1, *kept))
        self.shift = nn.Parameter(torch.zeros(1, *kept))
        self.register_buffer("ready", torch.zeros((), dtype=torch.uint8))
        self._seen = False

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, C, *S) -> the same, and (B,)."""
        if self.training and not self._seen:
            self._begin(x)
        repeats = x[0].numel() // self.log_scale.numel()
        logdet = (self.log_scale.sum() * repeats).expand(len(x))
        return torch.addcmul(self.shift, x, self.log_scale.exp()), logdet

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        """(B, C, *S) -> the same."""
        out: Tensor = (y - self.shift) * (-self.log_scale).exp()
        return out

    @torch.no_grad()
    def _begin(self, x: Tensor) -> None:
        if not self.ready:
            kept = self.log_scale.shape
            over = [d for d in range(x.ndim) if d == 0 or kept[d] == 1]
            moments = torch.stack([x.mean(over, keepdim=True), x.square().mean(over, keepdim=True)])
            if distributed.is_available() and distributed.is_initialized():
                distributed.all_reduce(moments)
                moments /= distributed.get_world_size()
            mean, square = moments
            deviation = (square - mean.square()).clamp(min=1e-6).sqrt()
            self.log_scale.copy_(-deviation.log())
            self.shift.copy_(-mean / deviation)
            self.ready.fill_(1)
        self._seen = True


class Invertible1x1(nn.Module):
    """y = W x at every position, W = P L (U + diag(sign * exp(log_s))); log |det| = S sum(log_s).

    P is a fixed permutation, L unit lower triangular, U strictly upper triangular; the start is a
    random rotation. Source: Glow, equation 10.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels, device="cpu"))[0]
        p, low, up = torch.linalg.lu(rotation)
        diagonal = up.diagonal()
        device = torch.get_default_device()
        self.register_buffer("permutation", p.to(device))
        self.register_buffer("sign", diagonal.sign().to(device))
        self.lower = nn.Parameter(low.tril(-1).to(device))
        self.upper = nn.Parameter(up.triu(1).to(device))
        self.log_s = nn.Parameter(diagonal.abs().log().to(device))

    def factors(self) -> tuple[Tensor, Tensor]:
        """L and U + diag(s), both (C, C)."""
        eye = torch.eye(len(self.log_s), dtype=self.lower.dtype, device=self.lower.device)
        return (
            self.lower.tril(-1) + eye,
            self.upper.triu(1) + torch.diag(self.sign * self.log_s.exp()),
        )

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, C, *S) -> the same, and (B,)."""
        low, up = self.factors()
        weight = self.permutation.to(low.dtype) @ low @ up
        logdet = (self.log_s.sum() * positions(x)).to(x.dtype)
        return mixed(x, weight.to(x.dtype)), logdet.expand(len(x))

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        """(B, C, *S) -> the same."""
        low, up = (each.double() for each in self.factors())
        right = self.permutation.T.double()
        half = torch.linalg.solve_triangular(low, right, upper=False, unitriangular=True)
        weight = torch.linalg.solve_triangular(up, half, upper=True)
        return mixed(y, weight.to(y.dtype))


def mixed(x: Tensor, weight: Tensor) -> Tensor:
    """The matrix (C, C) on the channels of (B, C, *S)."""
    if x.ndim == 4:
        return F.conv2d(x, weight[:, :, None, None])
    return torch.einsum("oc,bc...->bo...", weight, x)


class Permute(nn.Module):
    """y_i = x_order[i] of the channels; the log-determinant is 0."""

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        self.order = list(order)
        self.back = sorted(range(len(self.order)), key=self.order.__getitem__)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, C, *S) -> the same, and zeros (B,)."""
        return x[:, self.order], x.new_zeros(len(x))

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        """(B, C, *S) -> the same."""
        return y[:, self.back]


def _exp(raw: Tensor) -> Tensor:
    return raw


def _tanh(raw: Tensor) -> Tensor:
    return 2 * torch.tanh(raw / 2)


def _soft(raw: Tensor) -> Tensor:
    return raw / (1 + raw.abs() / SOFT)


def _sigmoid(raw: Tensor) -> Tensor:
    return F.logsigmoid(raw + 2)


def _inverse_sigmoid(raw: Tensor) -> Tensor:
    return -F.logsigmoid(raw + 2)


SOFT = math.log(1000)
LOG_SCALES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "exp": _exp,  # any scale: RealNVP's formula
    "tanh": _tanh,  # e^-2 .. e^2: cannot run away in training
    "soft": _soft,  # 1/1000 .. 1000, without a transcendental function: zuko's
    "sigmoid": _sigmoid,  # 0 .. 1: Glow's code
    "inverse-sigmoid": _inverse_sigmoid,  # over 1: the same, where a flow is written z to x
}


class Coupling(nn.Module):
    """One part of the channels moves the other: y2 = exp(s(x1)) * x2 + t(x1), y1 = x1.

    `net(x1, cond)` gives raw s and t, (B, 2 C2, *S), s first; log |det| = sum s. `first` says how
    many channels the first part has; `flip` makes the second part the one that stays. `scale` is
    what raw s becomes, see LOG_SCALES.
    """

    def __init__(self, net: nn.Module, first: int, flip: bool = False, scale: str = "tanh") -> None:
        super().__init__()
        self.net, self.first, self.flip = net, first, flip
        self.log_scale = LOG_SCALES[scale]

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The part that stays and the part that moves."""
        one, two = x[:, : self.first], x[:, self.first :]
        return (two, one) if self.flip else (one, two)

    def whole(self, stays: Tensor, moves: Tensor) -> Tensor:
        """The inverse of `parts`."""
        return torch.cat([moves, stays] if self.flip else [stays, moves], dim=1)

    def terms(self, stays: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor]:
        """Log-scale and shift of the part that moves, the shape of that part."""
        raw, shift = self.net(stays, cond).chunk(2, dim=1)
        return self.log_scale(raw), shift

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, C, *S) -> the same, and (B,)."""
        stays, moves = self.parts(x)
        s, t = self.terms(stays, cond)
        return self.whole(stays, torch.addcmul(t, moves, s.exp())), s.flatten(1).sum(1)

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        """(B, C, *S) -> the same."""
        stays, moves = self.parts(y)
        s, t = self.terms(stays, cond)
        return self.whole(stays, (moves - t) * (-s).exp())
