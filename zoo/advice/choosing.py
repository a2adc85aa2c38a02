"""From a situation to a family, a model that is here, and the commands that start."""

from __future__ import annotations

import math
import shlex
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any

from zoo import hub
from zoo.advice.rules import FAMILIES, LOW, RULES, Rule
from zoo.advice.situation import WANTS, Situation, situation
from zoo.card import Card
from zoo.hub import Found
from zoo.plugins import families

RECIPE, MINE = "recipe.toml", "mine.toml"
PIXELS = ("8-bit pixels", "binary pixels")


def _of_pixels(card: Card) -> bool:
    return card.log_prob is not None and card.log_prob.over in PIXELS


def _request(card: Card) -> str:
    """What its model can be asked for in a command; "" for nothing."""
    if card.config.get("classes"):
        return "label=0"
    return "text='a red apple'" if card.config.get("text") else ""


# What a card must say for its model to serve a want.
SERVES: dict[str, Callable[[Card], bool]] = {
    "likelihood": lambda card: card.log_prob is not None and card.log_prob.kind == "exact",
    "compression": _of_pixels,
    "control": lambda card: {"condition", "sample"} <= set(card.hooks) and bool(_request(card)),
    "tokens": lambda card: card.latent_kind == "tokens",
    "speed": lambda card: "sample" in card.hooks,
}
# How a model of the zoo is put to that use.
USES: dict[str, tuple[str, ...]] = {
    "likelihood": ("zoo logprob {model} PICTURES", "zoo eval {model} --metric bits-per-dim"),
    "compression": ("zoo compress PICTURES -m {model} -o pictures.zoo",),
    "control": ("zoo sample {model} -n 16 -c {request}",),
    "tokens": ("zoo encode {model} PICTURES -o tokens.safetensors",),
    "speed": ("zoo sample {model} -n 16",),
    "": ("zoo sample {model} -n 16",),
}


@dataclass(frozen=True)
class Also:
    """Another answer: a family, a model of it that is here (or None), and what it is for."""

    family: str
    model: str | None
    reason: str

    def __str__(self) -> str:
        """Return "flow (realnvp-mnist@1.1.0): by the same rule"."""
        return f"{self.family} ({self.model or 'no model here yet'}): {self.reason}"


@dataclass(frozen=True)
class Recommendation:
    """What `recommend` answers.

    Attributes:
        family: the family to use.
        do: "train" or "finetune" one, or "use" one that is trained.
        reason: why this family.
        stands_on: the papers and tables behind the reason.
        model: a model of that family that is here, name@version; None: there is none yet.
        start: the commands that start, in order; PICTURES are files or a folder of yours.
        notes: what else is to know.
        also: other answers that hold, by what they are for.
        situation: what was asked, and what was taken for granted.
        recipe: a recipe to start from, on a folder my-pictures/; "" if there is none.
    """

    family: str
    do: str
    reason: str
    stands_on: tuple[str, ...]
    model: str | None
    start: tuple[str, ...]
    notes: tuple[str, ...]
    also: tuple[Also, ...]
    situation: Situation
    recipe: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Lay the answer out for a terminal."""
        verb = {"train": "train", "finetune": "fine-tune", "use": "use a trained"}[self.do]
        what = FAMILIES[self.family].what if self.family in FAMILIES else "a family of its own"
        model = self.model or f"none of the family {self.family} is here yet"
        taken = ", ".join(self.situation.assumed)
        lines = [
            f"{self.family} ({what}): {verb} one.",
            "",
            _wrapped(self.reason),
            *(f"  {each}" for each in self.stands_on),
            "",
            f"model: {model}",
            "start:",
            *(f"  {each}" for each in self.start),
            *(["", *map(_wrapped, self.notes)] if self.notes else []),
            *(["", "also:"] if self.also else []),
            *(_wrapped(str(each), "  ") for each in self.also),
            "",
            f"for: {self.situation}",
            *([f"taken for granted, as nobody said: {taken}"] if taken else []),
        ]
        return "\n".join(lines)


def _wrapped(text: str, indent: str = "") -> str:
    """A text in lines of up to 100."""
    return textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=2 * indent)


def recommend(
    pretrained: bool | None = None,
    data: str | float | None = None,
    compute: str | float | None = None,
    resolution: int | None = None,
    wants: str | Iterable[str] | None = None,
) -> Recommendation:
    """Which generative model to use.

    Args:
        pretrained: whether a trained model knows pictures like these (`zoo.list()`).
        data: "little", "much", or a number of pictures.
        compute: "little", "much", or GPU-hours.
        resolution: pixels a side.
        wants: of "likelihood", "compression", "control", "tokens" and "speed", what matters.

    None is a default, named in the answer's `situation.assumed`.

    Returns:
        A Recommendation; `print` lays it out.

    Raises:
        RequestError: an answer that is none.
    """
    return answer(situation(pretrained, data, compute, resolution, wants), hub.cards(), families())


def answer(asked: Situation, cards: Sequence[Found], installed: Sequence[str]) -> Recommendation:
    """What `recommend` answers in that situation with these models and families at hand."""
    holding = [rule for rule in RULES if rule.holds(asked)]
    rule = holding[0]
    family, found = chosen(rule, asked, cards, installed)
    also: dict[str, Also] = {}
    for name in rule.families:
        _, other = chosen(replace(rule, families=(name,)), asked, cards, installed)
        fits = other is not None and other.card.family == name
        also[name] = Also(name, other.card.title if other and fits else None, "by the same rule")
    for each in holding[1:]:
        name, other = chosen(each, asked, cards, installed)
        also.setdefault(name, Also(name, other.card.title if other else None, each.reason))
    also.pop(family, None)
    recipe = recipe_for(asked, found)
    ready = bool(asked.pretrained and rule.wants and found)
    return Recommendation(
        family, "use" if ready and rule.do == "train" else rule.do, rule.reason, rule.stands_on,
        found.card.title if found else None,
        start_of(rule, asked, family, found, installed, bool(recipe)),
        notes_of(rule, asked, family, found, installed), tuple(also.values()), asked, recipe,
    )  # fmt: skip


def chosen(
    rule: Rule, asked: Situation, cards: Sequence[Found], installed: Sequence[str]
) -> tuple[str, Found | None]:
    """The rule's family and a model of it: the first with one, else the first that is installed.

    Where a want says what a card must have, any family's model that has it will do after those of
    the rule's; where none has all that a rule wants, one of the rule's families that has some of it.
    """
    wanted = rule.wants or (("speed",) if rule.do == "finetune" else ())
    able = [each for each in cards if all(SERVES[want](each.card) for want in wanted)]
    others = {each.card.family for each in able} - set(FAMILIES) if rule.wants else set()
    for family in (*rule.families, *sorted(others)):
        own = [each for each in able if each.card.family == family]
        if own:
            return family, min(own, key=lambda each: _far(each.card, asked))
    for family in rule.families:
        some = [
            each
            for each in cards
            if each.card.family == family and any(SERVES[want](each.card) for want in rule.wants)
        ]
        if some:
            return family, min(some, key=lambda each: _far(each.card, asked))
    return next((name for name in rule.families if name in installed), rule.families[0]), None


def _far(card: Card, asked: Situation) -> tuple[float, str]:
    """How far a model's resolution is from the one asked for, in octaves; then by name."""
    return abs(math.log2(card.image[-1] / asked.resolution)), card.name


def start_of(
    rule: Rule,
    asked: Situation,
    family: str,
    found: Found | None,
    installed: Sequence[str],
    recipe: bool,
) -> tuple[str, ...]:
    """The commands that start."""
    if found is None:
        return (f"zoo plugins {family}" if family in installed else "zoo plugins", "zoo list")
    model, want = shlex.quote(found.card.name), rule.wants[0] if rule.wants else ""
    if want == "compression" and find_spec("zoo.codec") is None:
        want = "likelihood"
    lines = [each.format(model=model, request=_request(found.card)) for each in USES[want]]
    if not rule.wants and "sample" not in found.card.hooks:
        lines = [f"zoo show {model}"]
    if recipe and not (asked.pretrained and rule.wants and rule.do == "train"):
        lines += [f"{again(asked)} -o {MINE}", f"zoo train {MINE} --out runs/mine --name mine"]
    return tuple(lines)


def again(asked: Situation) -> str:
    """The command that asks the same."""
    words = ["zoo recommend", "--pretrained" if asked.pretrained else "--no-pretrained"]
    words += [f"--data {asked.data} --compute {asked.compute} --resolution {asked.resolution}"]
    return " ".join([*words, *(f"--for {want}" for want in asked.wants)])


def notes_of(
    rule: Rule, asked: Situation, family: str, found: Found | None, installed: Sequence[str]
) -> tuple[str, ...]:
    """What is to know beside the answer."""
    notes = []
    first = rule.families[0]
    if found is None:
        tried = ", ".join(rule.families)
        lacking = "" if family in installed else f" No plugin installed brings {family} either."
        notes.append(f"No model here answers this rule (families: {tried}).{lacking}")
    elif family != first:
        notes.append(f"{first} would come first; no model of it that does this is here yet.")
        if family not in rule.families:
            notes.append(
                f"{family} is no family of the rule; its model's card says that it serves."
            )
    if rule.work_low and asked.resolution > LOW:
        notes.append(f"Work at {LOW} px or less; {asked.resolution} px asks for more compute.")
    if found is not None and found.card.image[-1] != asked.resolution:
        side, wanted = found.card.image[-1], asked.resolution
        notes.append(
            f"{found.card.name} is of {side} px; at {wanted} px a step costs about "
            f"{(wanted / side) ** 2:.3g} times as much."
        )
    for want in rule.wants:
        if found is not None and not SERVES[want](found.card):
            means = found.card.log_prob
            number = f"{means.kind} over {means.over}" if means else "none"
            notes.append(
                f"{found.card.name} does not give {WANTS[want]}: its log_prob is {number}."
            )
    if "compression" in rule.wants and find_spec("zoo.codec") is None:
        notes.append("This version of genzoo has no `zoo compress` yet.")
    gives = FAMILIES[family].gives if family in FAMILIES else frozenset(rule.wants)
    missed = [want for want in asked.wants if want not in gives]
    if missed:
        notes.append(f"No one family gives all that is wanted: {family} gives no {missed[0]}.")
    return tuple(notes)


def recipe_for(asked: Situation, found: Found | None) -> str:
    """The model's recipe, for a folder my-pictures/: from its weights on where those fit.

    From weights the learning rate is a tenth. "" without a model or without its recipe.
    """
    from zoo.train.recipe import Model, load_recipe

    if found is None or RECIPE not in found.card.files:
        return ""
    recipe = load_recipe(found.folder / RECIPE)
    data = replace(recipe.data, name="my-pictures/", split="train", held_out="test")
    recipe = replace(recipe, data=data)
    about = "from nothing"
    if asked.pretrained:
        optimizer = replace(recipe.optimizer, lr=recipe.optimizer.lr / 10)
        recipe = replace(recipe, model=Model(from_=found.card.title), optimizer=optimizer)
        about = "from its weights on, at a tenth of its learning rate"
    return (
        f"# The recipe of {found.card.title}, {about}; my-pictures/ is a folder of yours.\n"
        f"{recipe.text()}"
    )
