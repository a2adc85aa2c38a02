"""Flows keep the contract of all families: both kinds, both dequantisations, and on vectors."""

import pytest

from zoo.card import Density
from zoo.testing import CHECKS, Subject


def subject(stages, image=(2, 8, 8), **config):
    dimensions = image[0] * image[1] * image[2]
    label = {"label": [1]} if config.get("classes") else {}
    return Subject(
        "flow",
        {"image": list(image), "stages": stages, **config},
        image=image,
        latent=(dimensions,),
        latent_kind="continuous",
        log_prob=Density("lower bound", "8-bit pixels"),
        hooks=("condition", "encode", "decode", "sample", "log_prob"),
        request={"draws": 2, **label},
        lossless=True,
        tolerance=1e-3,
    )


REALNVP = [
    {
        "mask": "checkerboard",
        "squeeze": True,
        "couplings": 2,
        "width": 8,
        "blocks": 1,
        "place": True,
    },
    {"mask": "rows", "couplings": 2, "width": 8},
    {"mask": "channel", "squeeze": True, "couplings": 2, "width": 8, "split": True},
]
GLOW = [
    {"mask": "mixed", "squeeze": True, "couplings": 2, "width": 8, "split": True},
    {"mask": "mixed", "squeeze": True, "couplings": 2, "width": 8, "blocks": 1, "scale": "sigmoid"},
]
SUBJECTS = {
    "realnvp": subject(REALNVP, pixels={"kind": "logit", "alpha": 0.01}),
    "realnvp, labels": subject(REALNVP, pixels={"kind": "histogram"}, classes=3),
    "glow": subject(GLOW, dequantisation={"kind": "variational", "width": 8}),
    "flat": subject([{"couplings": 2, "hidden": [16]}], image=(1, 7, 8)),
}


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check, kind):
    check(SUBJECTS[kind])
