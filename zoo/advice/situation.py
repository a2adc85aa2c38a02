"""What is asked before a family is recommended, and the answers.

Where "much" begins is a convention of this guide. Of data: 100,000 pictures, as generative nets
were usually trained on 10^5 to 10^6 (Karras et al., 2020, arXiv:2006.06676, section 1). Of compute:
100 GPU-hours, about four days of one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from zoo.errors import RequestError, listed, nearest

MUCH = {"data": (100_000, "pictures"), "compute": (100, "GPU-hours")}  # and from there on
WANTS = {
    "likelihood": "an exact probability of a picture",
    "compression": "lossless files, smaller than PNG, WebP or JPEG XL",
    "control": "pictures that follow a text, a sketch, a map, a pose",
    "tokens": "pictures as integers, for a transformer of your own",
    "speed": "many pictures a second",
}


@dataclass(frozen=True)
class Question:
    """One question: asked in a terminal, or answered by the flag or argument of its name."""

    name: str
    text: str
    answers: str
    default: str


QUESTIONS = (
    Question("pretrained", "Does a model of `zoo list` know pictures like yours?", "yes, no", "no"),
    Question(
        "data", "How many pictures are there to train on?",
        f"little, much (from {MUCH['data'][0]:,}), or a number", "little",
    ),
    Question(
        "compute", "How much compute is there?",
        f"little (a CPU, or a GPU for a day or so), much (from {MUCH['compute'][0]} GPU-hours), or "
        "GPU-hours", "little",
    ),
    Question("resolution", "How many pixels a side?", "a number", "32"),
    Question(
        "wants", "What matters most, beside good pictures?",
        f"{', '.join(WANTS)} (several with commas), or nothing", "nothing",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Situation:
    """The answers.

    Attributes:
        pretrained: whether a trained model knows such pictures.
        data: "little" or "much".
        compute: "little" or "much".
        resolution: pixels a side.
        wants: of WANTS, what matters.
        assumed: questions nobody answered, whose defaults stand here.
    """

    pretrained: bool = False
    data: str = "little"
    compute: str = "little"
    resolution: int = 32
    wants: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the situation as a sentence."""
        fits = "a" if self.pretrained else "no"
        wants = f"; wanted: {', '.join(self.wants)}" if self.wants else ""
        return (
            f"{fits} pretrained model fits, {self.data} data, {self.compute} compute, "
            f"{self.resolution} px{wants}"
        )


def situation(
    pretrained: bool | None = None,
    data: str | float | None = None,
    compute: str | float | None = None,
    resolution: int | None = None,
    wants: str | Iterable[str] | None = None,
) -> Situation:
    """The situation of these answers, defaults for those that are None. Raises RequestError."""
    given = {
        "pretrained": pretrained,
        "data": None if data is None else amount("data", data),
        "compute": None if compute is None else amount("compute", compute),
        "resolution": None if resolution is None else _side(resolution),
        "wants": None if wants is None else wanted(wants),
    }
    answered = {name: value for name, value in given.items() if value is not None}
    return Situation(**answered, assumed=tuple(name for name in given if name not in answered))  # type: ignore[arg-type]


def amount(what: str, answer: str | float) -> str:
    """What a word or a number comes to: "little" or "much". Raises RequestError."""
    least, unit = MUCH[what]
    text = str(answer).strip().lower().replace(",", "").replace("_", "")
    if text in ("little", "much"):
        return text
    try:
        count = float(text)
    except ValueError:
        count = -1.0
    if not count >= 0:
        raise RequestError(
            f"{what} is `little`, `much` or a number of {unit} (much from {least:,}); got "
            f"{answer!r}.{nearest(text, ('little', 'much'))}"
        )
    return "much" if count >= least else "little"


def wanted(answer: str | Iterable[str]) -> tuple[str, ...]:
    """What is wanted, in the order of WANTS, from words or a text with commas. Raises RequestError."""
    words = answer.replace(",", " ").split() if isinstance(answer, str) else list(answer)
    words = [word.lower() for word in words if word.lower() != "nothing"]
    for word in words:
        if word not in WANTS:
            raise RequestError(
                f"Nothing here is for {word!r}.{nearest(word, WANTS)} What may matter: "
                f"{listed(WANTS)}."
            )
    return tuple(word for word in WANTS if word in words)


def yes(answer: str) -> bool:
    """True for yes, False for no. Raises RequestError."""
    text = answer.strip().lower()
    if text in ("y", "yes", "n", "no"):
        return text.startswith("y")
    raise RequestError(f"Answer yes or no; got {answer!r}.")


def _side(answer: int) -> int:
    if not isinstance(answer, int) or isinstance(answer, bool) or answer < 1:
        raise RequestError(f"resolution is pixels a side, 1 or more; got {answer!r}.")
    return answer
