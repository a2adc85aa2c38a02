"""Gauges of pictures given their captions, of a text-to-image model.

    log p per token     log p(t_1 ... t_T | caption) / T, in nats; the mean over pictures; of tokens
    caption accuracy    how often the picture's own caption is the one, among 100, that gives it the
                        greatest log p(picture | caption): Bayes' rule under a uniform prior. Where
                        log_prob is a bound or an estimate, that stands in for log p, all captions
                        with the same noise (Li et al., 2023, arXiv:2303.16203)

The 99 other captions are drawn by a rule, not at random. Of a set's different captions c_0 ... c_{M-1}, in the
order in which they first stand in it, a picture of caption c_j is shown c_j and

    c_{(j + 1 + floor(i (M - 1) / 99)) mod M},   i = 0 ... 98

which are 99 different ones spread evenly over the split, whatever `count` and the batch are.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from zoo.data.captions import captions_of
from zoo.errors import DataError, Unsupported
from zoo.evaluate.gauge import Batch, Reading
from zoo.evaluate.metric import mean_and_se

if TYPE_CHECKING:
    import torch

    from zoo.card import Card, Density

AMONG = 100
RULE = (
    "99 others spread evenly over the split's different captions: c_(j + 1 + floor(i (M - 1) / 99))"
)


class Choices:
    """Captions of a split, and which a picture is compared with.

    Raises DataError for a set whose pictures have no captions.
    """

    def __init__(self, data: Any) -> None:
        self.captions = captions_of(data)
        self.different = list(dict.fromkeys(self.captions))
        self._place = {each: place for place, each in enumerate(self.different)}

    def rows(self, numbers: Sequence[int], among: int) -> list[list[str]]:
        """`among` different captions of each of those pictures, its own first. Raises DataError."""
        return [self._row(self.captions[number], among) for number in numbers]

    def _row(self, own: str, among: int) -> list[str]:
        count = len(self.different)
        if count < among:
            raise DataError(
                f"The right caption is sought among {among}, and the split has {count} different "
                "ones. Measure on one with more."
            )
        first, others = self._place[own], among - 1
        steps = (1 + i * (count - 1) // others for i in range(others))
        return [own, *(self.different[(first + step) % count] for step in steps)]


def takes_text(card: Card) -> bool:
    """Whether a card tells of a text-to-image model: by `text` in its config, or by its pipeline_tag."""
    return "text" in card.config or card.pipeline_tag == "text-to-image"


def told(card: Card, what: str) -> Density:
    """What the card's log_prob is. Raises Unsupported for a model that is none of pictures given a caption."""
    if card.log_prob is None:
        raise Unsupported(f"{card.name} has no log_prob, so no {what}.")
    if "condition" not in card.hooks:
        raise Unsupported(f"{card.name} takes no conditions, so no caption, so no {what}.")
    return card.log_prob


def tokens_of(card: Card, what: str) -> tuple[Density, int]:
    """What the card's log_prob is, and how many tokens a picture has.

    Raises Unsupported for a model that is not one of tokens given a caption.
    """
    density = told(card, what)
    if density.over != "tokens" or card.latent is None:
        raise Unsupported(
            f"{card.name} has a log_prob over {density.over}, so no {what}, which is of a picture's tokens given "
            "its caption: of models whose card says `log_prob: {kind: exact, over: tokens}`."
        )
    return density, prod(card.latent)


class LogPerToken:
    """Log p a token given the picture's caption, in nats."""

    needs = frozenset({"given"})

    def __init__(self, card: Card, device: torch.device) -> None:
        self.density, self.tokens = tokens_of(card, "log p per token")
        self.values: list[float] = []

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        self.values += (batch.need("given")[:, 0].double() / self.tokens).tolist()

    def readings(self) -> list[Reading]:
        """Give the mean; nearer 0 is better."""
        mean, se = mean_and_se(self.values)
        note = {
            "tokens a picture": self.tokens, "given": "the picture's caption",
            "kind": self.density.kind, "over": self.density.over,
        }  # fmt: skip
        return [Reading("log p per token", mean, "nats", se, note)]


class CaptionAccuracy:
    """How often the right caption among 100 gives the picture the greatest log p."""

    needs = frozenset({"given", "among"})

    def __init__(self, card: Card, device: torch.device) -> None:
        self.density = told(card, "caption accuracy")
        self.right: list[float] = []

    def add(self, batch: Batch) -> None:
        """Take the next batch."""
        nats = batch.need("given")
        self.right += (nats[:, :1] > nats[:, 1:]).all(1).double().tolist()  # ties are wrong

    def readings(self) -> list[Reading]:
        """Give the share of right answers in percent; by chance it is 1."""
        mean, se = mean_and_se(self.right)
        note = {
            "captions": AMONG, "others": RULE, "prior": "uniform",
            "kind": self.density.kind, "over": self.density.over,
        }  # fmt: skip
        return [
            Reading("caption accuracy", 100 * mean, "%", None if se is None else 100 * se, note)
        ]
