"""p(x | z): what the decoder's numbers say of each pixel, independent of the others given z.

    bernoulli   black or white:   p(white) = sigmoid(a)
    gaussian    a real number:    N(x; m, s^2)
    logistic    one of 256 grey levels: the logistic distribution with mean m and scale s over the level's bin,
                sigmoid((x + h - m) / s) - sigmoid((x - h - m) / s),   h = 1/255,
                the darkest and the brightest bin open to the outside, so that the 256 sum to 1

(Kingma & Welling, 2013, arXiv:1312.6114, appendix C; Salimans et al., 2017, arXiv:1701.05517.) The decoder gives
`numbers` values a channel, (B, numbers C, H, W), the means of all channels first. A scale is one learned number
(`scale = "shared"`) or one a pixel (`scale = "pixel"`). With a = (x + h - m) / s and b = (x - h - m) / s,

    ln(sigmoid(a) - sigmoid(b)) = ln sigmoid(a) + ln sigmoid(-b) + ln(1 - exp(b - a))

is stable for every a > b: no case needs an approximation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log, pi
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from zoo import rng
from zoo.errors import ImageError

HALF = 1 / 255  # half the distance between two grey levels in [-1, 1]


class Likelihood(Protocol):
    """A distribution of pictures given the decoder's numbers (B, numbers C, H, W)."""

    numbers: int  # a channel
    over: str  # what log_prob is of, as a card says it
    alphabet: int  # symbols of a pixel; 0 where pixels are no symbols

    def log_prob(self, given: Tensor, images: Tensor) -> Tensor:
        """Value of ln p(images | given), (B, numbers C, H, W) and (B, C, H, W) -> (B,) nats."""
        ...

    def mean(self, given: Tensor) -> Tensor:
        """The mean picture (B, C, H, W) in [-1, 1]."""
        ...

    def draw(self, given: Tensor, streams: Sequence[Generator]) -> Tensor:
        """A picture (B, C, H, W), row i from stream i."""
        ...

    def tables(self, given: Tensor) -> Tensor:
        """Probabilities of every symbol, (B, numbers C, H, W) -> (B, C H W, alphabet)."""
        ...

    def symbols(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C H W) int64; raises ImageError for what has no symbol."""
        ...

    def pictures(self, symbols: Tensor) -> Tensor:
        """(B, T) int64 to values (B, T) in [-1, 1], inverse of `symbols`."""
        ...


class Bernoulli(nn.Module):
    """Black (-1) or white (1)."""

    numbers, over, alphabet = 1, "binary pixels", 2

    def log_prob(self, given: Tensor, images: Tensor) -> Tensor:
        """Raises ImageError for a picture with greys."""
        check_binary(images)
        return F.logsigmoid(given * images).flatten(1).sum(1)

    def mean(self, given: Tensor) -> Tensor:
        return torch.tanh(given / 2)  # 2 sigmoid(a) - 1

    def draw(self, given: Tensor, streams: Sequence[Generator]) -> Tensor:
        drawn = rng.uniform(streams, *given.shape[1:], device=given.device, dtype=given.dtype)
        return torch.where(drawn < given.sigmoid(), 1.0, -1.0).to(given)

    def tables(self, given: Tensor) -> Tensor:
        flat = given.flatten(1)
        return torch.stack([(-flat).sigmoid(), flat.sigmoid()], -1)

    def symbols(self, images: Tensor) -> Tensor:
        check_binary(images)
        return (images > 0).flatten(1).long()

    def pictures(self, symbols: Tensor) -> Tensor:
        return symbols * 2.0 - 1


class _Scaled(nn.Module):
    """Mean and scale of each pixel out of the decoder's numbers."""

    def __init__(self, scale: str, low: float) -> None:
        super().__init__()
        if scale not in ("shared", "pixel"):
            raise ValueError(f"scale = {scale!r}; there are 'shared' and 'pixel'")
        self.numbers, self.low = (1 if scale == "shared" else 2), low
        if scale == "shared":
            self.log_scale = nn.Parameter(torch.tensor(-1.0))

    def split(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """(B, numbers C, H, W) to mean and ln scale, each (B, C, H, W)."""
        if self.numbers == 1:
            return given, self.log_scale.clamp(min=self.low).expand_as(given)
        mean, log_scale = given.chunk(2, 1)
        return mean, log_scale.clamp(min=self.low)


class Gaussian(_Scaled):
    """A density of real pixels, N(mean, scale^2)."""

    over, alphabet = "continuous pixels", 0

    def __init__(self, scale: str = "shared") -> None:
        super().__init__(scale, low=-6.0)

    def log_prob(self, given: Tensor, images: Tensor) -> Tensor:
        mean, log_scale = self.split(given)
        distance = (images - mean) * (-log_scale).exp()
        return -(distance.square() / 2 + log_scale + log(2 * pi) / 2).flatten(1).sum(1)

    def mean(self, given: Tensor) -> Tensor:
        return self.split(given)[0]

    def draw(self, given: Tensor, streams: Sequence[Generator]) -> Tensor:
        mean, log_scale = self.split(given)
        noise = rng.normal(streams, *mean.shape[1:], device=mean.device, dtype=mean.dtype)
        return mean + log_scale.exp() * noise


class Logistic(_Scaled):
    """256 grey levels under a discretised logistic distribution."""

    over, alphabet = "8-bit pixels", 256

    def __init__(self, scale: str = "pixel") -> None:
        super().__init__(scale, low=-7.0)

    def log_prob(self, given: Tensor, images: Tensor) -> Tensor:
        """Pixels between two grey levels count as the nearer."""
        level = ((images + 1) * 127.5).round()
        return self._log_bins(given, level).flatten(1).sum(1)

    def _log_bins(self, given: Tensor, level: Tensor) -> Tensor:
        """Value of ln p of grey levels 0 .. 255 that broadcast against the means."""
        mean, log_scale = self.split(given)
        inverse = (-log_scale).exp()
        centre = level / 127.5 - 1 - mean
        above, below = (centre + HALF) * inverse, (centre - HALF) * inverse
        under = torch.where(level > 254.5, 0.0, F.logsigmoid(above))
        over = torch.where(level < 0.5, 0.0, F.logsigmoid(-below))
        inner = torch.where((level < 0.5) | (level > 254.5), 0.0, _log1mexp(2 * HALF * inverse))
        return under + over + inner

    def mean(self, given: Tensor) -> Tensor:
        """The logistic's mean, held within [-1, 1]."""
        return self.split(given)[0].clamp(-1, 1)

    def draw(self, given: Tensor, streams: Sequence[Generator]) -> Tensor:
        mean, log_scale = self.split(given)
        drawn = rng.uniform(streams, *mean.shape[1:], device=mean.device, dtype=mean.dtype)
        x = mean + log_scale.exp() * drawn.clamp(1e-6, 1 - 1e-6).logit()
        return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1

    def tables(self, given: Tensor) -> Tensor:
        levels = torch.arange(256, device=given.device, dtype=given.dtype)
        column = given.flatten(1).unsqueeze(-1)  # (B, numbers C H W, 1), still the means first
        return self._log_bins(column, levels).exp()

    def symbols(self, images: Tensor) -> Tensor:
        level = (images + 1) * 127.5
        found = level.round()
        if bool(((level - found).abs() > 0.01).any()) or bool(((found - 127.5).abs() > 128).any()):
            raise ImageError(
                "The pictures have pixels between the 256 grey levels v / 127.5 - 1, so they have no symbols. "
                "Round them first: zoo.images.to_uint8, then zoo.images.from_uint8."
            )
        return found.flatten(1).long()

    def pictures(self, symbols: Tensor) -> Tensor:
        return symbols / 127.5 - 1


def _log1mexp(x: Tensor) -> Tensor:
    """ln(1 - exp(-x)) for x > 0."""
    return torch.log(-torch.expm1(-x))


def check_binary(images: Tensor) -> None:
    """Raise ImageError unless every pixel is -1 or 1."""
    if not bool((images.abs() == 1).all()):
        low, high = (float(each) for each in images.aminmax())
        raise ImageError(
            f"This model is of black and white pictures (-1 or 1); these have greys ({low:.3g} .. {high:.3g}). Draw "
            "them black and white first: zoo.data.binarise(images, zoo.rng.generator(0)); in a recipe, [data] "
            "binarise = true."
        )


KINDS: Mapping[str, Callable[..., Any]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "logistic": Logistic,
}


def likelihood(config: Mapping[str, Any]) -> Any:
    """The `Likelihood` of a config {"kind": ..., options}. Raises KeyError, TypeError, ValueError."""
    options = dict(config)
    kind = options.pop("kind")
    if kind not in KINDS:
        raise ValueError(f"likelihood kind {kind!r}; there are {', '.join(KINDS)}")
    return KINDS[kind](**options)
