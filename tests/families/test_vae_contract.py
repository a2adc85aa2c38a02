"""The variational autoencoders keep the contract of all families: each likelihood, flat and as a ladder."""

import pytest

from zoo.card import Density
from zoo.testing import CHECKS, Subject

SIDE = {"widths": [8, 12], "blocks": [1, 1], "narrow": 4}
CONFIG = {"image": [1, 12, 12], "encoder": SIDE, "decoder": SIDE}
COLOUR = {**CONFIG, "image": [3, 12, 12]}
OVER = {
    "bernoulli": "binary pixels",
    "logistic": "8-bit pixels",
    "gaussian": "continuous pixels",
}


def subject(config, latents, size, request=None, **likelihood):
    return Subject(
        "vae",
        {**config, "latents": latents, "likelihood": likelihood},
        image=tuple(config["image"]),
        latent=(size,),
        latent_kind="continuous",
        log_prob=Density("lower bound", OVER[likelihood["kind"]]),
        hooks=("condition", "encode", "decode", "sample", "log_prob"),
        request=request or {"importance": 3},
        recipe={"free_bits": 0.1, "beta_start": 0.5, "warmup": 10},
    )


SUBJECTS = {
    "binary": subject(CONFIG, [5], 5, kind="bernoulli"),
    "grey levels": subject(COLOUR, [5], 5, kind="logistic"),
    "grey levels, one scale": subject(COLOUR, [5], 5, kind="logistic", scale="shared"),
    "real": subject(COLOUR, [5], 5, kind="gaussian"),
    "real, a scale a pixel": subject(COLOUR, [5], 5, kind="gaussian", scale="pixel"),
    "with classes": subject(
        {**CONFIG, "classes": 3}, [5], 5, {"label": 2, "importance": 3}, kind="bernoulli"
    ),
    "ladder": subject(CONFIG, [5, 2, 1], 5 + 3 * 9, kind="bernoulli"),
    "ladder with classes": subject(
        {**COLOUR, "classes": 3}, [5, 2], 5 + 2 * 9, {"label": 0}, kind="logistic"
    ),
}


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check, kind):
    check(SUBJECTS[kind])
