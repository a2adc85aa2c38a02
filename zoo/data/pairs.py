"""Captions that say a drawing style and a concept, "noto: red apple": pairs of the two that no picture shows.

A pair (s, c) is new if no picture of the set, of whatever split, has it, while training has s with other concepts and c
in other styles: who draws it puts together what was never seen together. `standing` says of any caption what training
has of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest

from zoo.errors import DataError

BETWEEN = ": "


def new_pairs(training: Sequence[str], others: Sequence[str], count: int) -> list[str]:
    """Captions of new pairs, style by style in turn, each concept once; those in the most styles first.

    Args:
        training: captions of the training split, "STYLE: CONCEPT"; such as have no style do not count.
        others: captions of all other splits.
        count: how many.

    Raises:
        DataError: there are fewer.
    """
    styles: dict[str, set[str]] = defaultdict(set)  # of a concept, in training
    for caption in training:
        style, between, concept = caption.partition(BETWEEN)
        if between:
            styles[concept].add(style)
    known = {*training, *others}
    usual = sorted(styles, key=lambda concept: (-len(styles[concept]), concept))
    rows = [
        [each for concept in usual if (each := f"{style}{BETWEEN}{concept}") not in known]
        for style in dict.fromkeys(sorted(set().union(*styles.values())))
    ]
    found: dict[str, str] = {}  # by concept
    for caption in chain.from_iterable(zip_longest(*rows)):
        if caption is not None and len(found) < count:
            found.setdefault(caption.partition(BETWEEN)[2], caption)
    if len(found) < count:
        raise DataError(
            f"{count} new pairs were asked for; of {len(styles)} concepts there are {len(found)}. Pairs are "
            f"told from captions such as 'noto{BETWEEN}red apple'."
        )
    return list(found.values())


def standing(training: Sequence[str], others: Sequence[str]) -> Callable[[str], str]:
    """What training has of a caption, capitals and spaces aside, as a function of it.

    It answers one of

    "trained on"                              a picture of training has it
    "never seen together"                     training has its style and its concept, and no picture has both
    "never seen together, held out"           nor has training, but a picture of another split does
    "concept never seen", "style never seen"  of a caption "STYLE: CONCEPT"
    "never seen"                              of one without a style

    `training` are the captions of the training split, `others` those of all other splits.
    """
    seen, held = ({_plain(each) for each in captions} for captions in (training, others))
    pairs = [caption.partition(BETWEEN) for caption in seen if BETWEEN in caption]
    styles = {style for style, _, _ in pairs}
    concepts = {concept for _, _, concept in pairs}

    def told(caption: str) -> str:
        plain = _plain(caption)
        style, between, concept = plain.partition(BETWEEN)
        if plain in seen:
            return "trained on"
        if not between:
            return "never seen"
        if style not in styles:
            return "style never seen"
        if concept not in concepts:
            return "concept never seen"
        return "never seen together" + (", held out" if plain in held else "")

    return told


def _plain(caption: str) -> str:
    return " ".join(caption.lower().split())
