"""GANs keep the contract of all families: with classes and without, with either norm and either generator."""

import pytest

from zoo.testing import CHECKS, Subject

SMALL = {"latent": 6, "channels": 3, "widths": [8, 4], "inversion_steps": 4}
RECIPE = {"discriminator": {"widths": [4, 8]}}


def subject(latent=6, request=None, **config):
    return Subject(
        "gan",
        {**SMALL, **config},
        image=(3, 8, 8),
        latent=(latent,),
        latent_kind="continuous",
        hooks=("condition", "encode", "decode", "sample"),
        request=request or {"steps": 2, "starts": 5},
        options={"truncation": 1.5},
        recipe=RECIPE,
    )


SUBJECTS = {
    "residual with classes": subject(7, {"label": 1}, classes=3, embedding=4),
    "residual, instance norm": subject(norm="instance"),
    "dcgan": subject(kind="dcgan"),
}


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check, kind):
    check(SUBJECTS[kind])
