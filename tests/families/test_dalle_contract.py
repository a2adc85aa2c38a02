"""The DALL-E family keeps the contract of all families, with every kind of prefix, of codes and of heads."""

import pytest
import toys

from zoo.card import Density
from zoo.testing import CHECKS, Subject

TOKENIZER = toys.tokenizer()
LLAMA = {"norm": "rms", "feed": "swiglu", "bias": False, "positions": "none", "rotary": "llamagen"}
SPARSE = {"depth": 3, "patterns": ["row", "column", "conv"], "feed": "geglu", "shift": True}
KINDS = {
    "text": (
        {"text": toys.TEXT, "embed": "codebook", "rank": 8, "hidden": 8, "groups": 8},
        {"text": "noto: red apple"},
        {"text_weight": 1.0, "null": 0.1},
    ),
    "text, shared heads": (
        {"text": toys.TEXT, "heads": "shared", "shape": {**toys.SHAPE, **SPARSE}},
        {"text": "twemoji: red house"},
        {"text_weight": 1.0, "image_weight": 7.0},
    ),
    "text, read by a half of its own": (
        {
            "text": {
                "length": 5,
                "pieces": 12,
                "pad": 1,
                "around": [0, 2],
                "reader": {"depth": 1, "heads": 2},
            },
            "shape": {"width": 16, "depth": 2, "heads": 2, "across": True},
        },
        {"text": "4 7"},
        {"null": 0.1},
    ),
    "class": (
        {"classes": 3, "begin": False, "head_bias": False, "shape": {**toys.SHAPE, **LLAMA}},
        {"label": 2},
        {},
    ),
    "picture": (
        {"picture": {"codes": 24, "grid": [4, 4], "part": "tokenizer"}},
        {"tokens": [[[1, 2, 3, 4]] * 4]},
        {},
    ),
    "nothing": ({"embed": "codebook", "rank": 8, "hidden": 8}, {}, {}),
}


def subject(config, request, recipe):
    return Subject(
        "dalle",
        {"shape": toys.SHAPE, "grid": [4, 4], "codes": 24, "null": True, **config},
        image=(3, 16, 16),
        latent=(4, 4),
        latent_kind="tokens",
        codes=24,
        log_prob=Density("exact", "tokens"),
        hooks=("condition", "encode", "decode", "sample", "log_prob"),
        parts={"tokenizer": TOKENIZER},
        request=request or {"prefix": Subject("vq", {}, (3, 16, 16)).images[:1], "rows": 1},
        options={"top_p": 0.95},
        recipe=recipe,
    )


SUBJECTS = {name: subject(*kind) for name, kind in KINDS.items()}


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check, kind):
    check(SUBJECTS[kind])
