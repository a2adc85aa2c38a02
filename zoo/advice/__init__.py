"""`zoo recommend`: which generative model should I use?

Rules of the field as a table (`rules`), held against what is asked (`situation`) and against the
models that are here (`choosing`). README.md beside this is the same table for people. Nothing here
imports torch.
"""

from zoo.advice.choosing import Recommendation, recommend
from zoo.advice.rules import FAMILIES, RULES, Rule
from zoo.advice.situation import QUESTIONS, WANTS, Question, Situation

__all__ = [
    "FAMILIES",
    "QUESTIONS",
    "RULES",
    "WANTS",
    "Question",
    "Recommendation",
    "Rule",
    "Situation",
    "recommend",
]
