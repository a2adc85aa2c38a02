"""The gauges there are: fidelity, Frechet distance, codebook, rate, speed; likelihood stands apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from zoo.errors import RequestError, Unsupported, listed, nearest
from zoo.evaluate import fidelity
from zoo.evaluate.captions import CaptionAccuracy, LogPerToken, takes_text
from zoo.evaluate.features import NAME, WIDTH, EfficientNetLite2
from zoo.evaluate.frechet import Moments, distance_of
from zoo.evaluate.gauge import Batch, Gauge, Reading
from zoo.evaluate.likelihood import Accuracy, Likelihood, NoisyAccuracy, Terms
from zoo.evaluate.metric import mean_and_se
from zoo.evaluate.tokens import Histogram, bits_of, bytes_needed
from zoo.images import from_uint8

if TYPE_CHECKING:
    from zoo.card import Card


class PSNR:
    """Averaged both ways: over pictures (the usual one), and before the logarithm."""

    needs = frozenset({"rebuilt"})

    def __init__(self, card: Card, device: torch.device) -> None:
        self.values: list[float] = []
        self.errors: list[float] = []

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        rebuilt = batch.need("rebuilt")
        self.values += fidelity.psnr(batch.pictures, rebuilt).tolist()
        self.errors += fidelity.mse(batch.pictures, rebuilt).tolist()

    def readings(self) -> list[Reading]:
        """Give PSNR and PSNR of the mean error."""
        mean, se = mean_and_se(self.values)
        error, spread = mean_and_se(self.errors)
        # d(10 log10 e) = 10 / ln 10 * de / e
        delta = None if spread is None or not error else 10 / math.log(10) * spread / error
        note = {"peak": 255, "rounded": "8 bit", "most": fidelity.PERFECT}
        return [
            Reading("PSNR", mean, "dB", se, note | {"average": "of each picture's PSNR"}),
            Reading(
                "PSNR of mean MSE", fidelity.decibels(error), "dB", delta,
                note | {"average": "of each picture's squared error, before the logarithm"},
            ),
        ]  # fmt: skip


class SSIM:
    """Structural similarity with the 11 x 11 Gaussian window of its paper, channels averaged."""

    needs = frozenset({"rebuilt"})

    def __init__(self, card: Card, device: torch.device) -> None:
        self.values: list[float] = []

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        self.values += fidelity.ssim(batch.pictures, batch.need("rebuilt")).tolist()

    def readings(self) -> list[Reading]:
        """Give the mean SSIM."""
        mean, se = mean_and_se(self.values)
        return [
            Reading("SSIM", mean, "", se, {"window": "Gaussian 11, 1.5", "channels": "averaged"})
        ]


class Perceptual:
    """LPIPS; grey pictures are given three equal channels."""

    needs = frozenset({"rebuilt"})

    def __init__(self, card: Card, device: torch.device, net: str) -> None:
        from zoo.nn.lpips import LPIPS

        self.net = LPIPS("vgg" if net == "vgg" else "alex").to(device)
        self.device = device
        self.values: list[float] = []

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        pair = [
            from_uint8(each.to(self.device)).expand(-1, 3, -1, -1)
            for each in (batch.need("rebuilt"), batch.pictures)
        ]
        with torch.inference_mode():
            self.values += self.net(*pair).double().cpu().tolist()

    def readings(self) -> list[Reading]:
        """Give the mean distance."""
        mean, se = mean_and_se(self.values)
        return [Reading(f"LPIPS ({self.net.net})", mean, "", se, {"version": "0.1"})]


OF = {"rebuilt": "", "samples": " of samples", "pictured": " of samples given captions"}


class Frechet:
    """Frechet distance of the originals' features to those of reconstructions, or of samples.

    `of`: "rebuilt", "samples", or "pictured", a sample given each picture's caption.
    """

    def __init__(self, card: Card, device: torch.device, of: str) -> None:
        self.needs, self.of = frozenset({of}), of
        self.features = EfficientNetLite2().to(device)
        self.device = device
        self.real, self.made = Moments(WIDTH), Moments(WIDTH)

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        with torch.inference_mode():
            self.real.add(self.features(batch.pictures.to(self.device)))
            self.made.add(self.features(batch.need(self.of).to(self.device)))

    def readings(self) -> list[Reading]:
        """Give the distance, which depends on the count: too high from few pictures."""
        name = f"FD-{NAME}" + OF[self.of]
        note = {"features": "1280 pooled, 260 px bicubic", "bias": "too high from few pictures"}
        return [Reading(name, distance_of(self.real, self.made), "", None, note)]


class Codebook:
    """Usage and perplexity of the codebook over the set."""

    needs = frozenset({"tokens"})

    def __init__(self, card: Card, device: torch.device) -> None:
        self.histogram = Histogram(codes_of(card))

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        self.histogram.add(batch.need("tokens"))

    def readings(self) -> list[Reading]:
        """Give usage in percent, and perplexity."""
        note = {"codes": self.histogram.codes, "tokens": self.histogram.total}
        return [
            Reading("codebook usage", 100 * self.histogram.usage, "%", None, note),
            Reading("codebook perplexity", self.histogram.perplexity, "codes", None, note),
        ]


class Rate:
    """What the tokens cost at fixed length, log2(codes) bits each."""

    needs = frozenset({"tokens"})

    def __init__(self, card: Card, device: torch.device) -> None:
        self.codes = codes_of(card)
        self.tokens = self.pixels = self.count = self.bytes = 0

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        tokens = batch.need("tokens")
        self.count += len(tokens)
        self.tokens += tokens.numel()
        self.pixels += len(tokens) * batch.pictures[0, 0].numel()
        self.bytes += len(tokens) * bytes_needed(tokens[0].numel(), self.codes)

    def readings(self) -> list[Reading]:
        """Give bits per pixel and bytes a picture."""
        note = {"codes": self.codes, "tokens a picture": self.tokens / self.count}
        bits = bits_of(self.tokens, self.codes) / self.pixels
        return [
            Reading("token bits per pixel", bits, "bit", None, note),
            Reading("bytes a picture", self.bytes / self.count, "B", None, note),
        ]


class Speed:
    """Seconds of encoding and decoding a picture, first batch left out when there are others."""

    needs = frozenset({"rebuilt"})

    def __init__(self, card: Card, device: torch.device) -> None:
        self.device = device
        self.batches: list[tuple[int, float]] = []

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        self.batches.append((len(batch.pictures), batch.seconds))

    def readings(self) -> list[Reading]:
        """Give seconds a picture."""
        counted = (
            self.batches[1:] or self.batches
        )  # the first also pays for allocation and kernel choice
        mean = sum(seconds for _, seconds in counted) / sum(count for count, _ in counted)
        note = {
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "batch": counted[0][0],
        }
        return [Reading("seconds a picture", mean, "s", None, note)]


GAUGES: dict[str, Callable[[Card, torch.device], Gauge]] = {
    "psnr": PSNR,
    "ssim": SSIM,
    "lpips": lambda card, device: Perceptual(card, device, "alex"),
    "lpips-vgg": lambda card, device: Perceptual(card, device, "vgg"),
    "fd": lambda card, device: Frechet(card, device, "rebuilt"),
    "fd-samples": lambda card, device: Frechet(card, device, "samples"),
    "fd-captions": lambda card, device: Frechet(card, device, "pictured"),
    "codebook": Codebook,
    "rate": Rate,
    "speed": Speed,
    "bits-per-dim": Likelihood,
    "nats": lambda card, device: Likelihood(card, device, only_nats=True),
    "bits-by-term": Terms,
    "accuracy": Accuracy,
    "noisy-accuracy": NoisyAccuracy,
    "log-p-per-token": LogPerToken,
    "caption-accuracy": CaptionAccuracy,
}
OF_TOKENS = ("psnr", "ssim", "lpips", "lpips-vgg", "fd", "codebook", "rate", "speed")


def codes_of(card: Card) -> int:
    """Size of a tokenizer's codebook; Unsupported for a model without tokens."""
    if card.codes is None:
        raise Unsupported(
            f"{card.name} has no tokens (its latents are {card.latent_kind}), so no codebook "
            f"and no rate. Metrics: {listed(GAUGES)}."
        )
    return card.codes


def usual(card: Card) -> tuple[str, ...]:
    """The metrics that belong on the card of such a model."""
    if card.family == "classifier":
        return ("noisy-accuracy",)
    if card.log_prob and card.log_prob.over == "tokens":
        return ("log-p-per-token", "caption-accuracy") if takes_text(card) else ("nats",)
    if card.latent_kind == "tokens":
        return OF_TOKENS
    if card.log_prob and card.log_prob.over == "latents":
        return ("fd-captions",) if takes_text(card) else ("fd-samples",)
    if card.log_prob:
        return ("bits-per-dim",)
    if card.latent_kind == "continuous" and "sample" not in card.hooks:
        return ("psnr", "ssim", "lpips", "lpips-vgg", "fd", "speed")
    return ("fd-samples",)


def gauges_of(names: tuple[str, ...], card: Card, device: torch.device) -> list[Gauge]:
    """Build the named gauges, bits_per_dim or bits-per-dim alike; RequestError for an unknown name."""
    names = tuple(name.replace("_", "-") for name in names)
    for name in names:
        if name not in GAUGES:
            raise RequestError(
                f"No metric {name!r}; there are {listed(GAUGES)}.{nearest(name, GAUGES)}"
            )
    return [GAUGES[name](card, device) for name in dict.fromkeys(names)]
