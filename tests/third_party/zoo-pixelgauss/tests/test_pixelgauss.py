import pytest

from zoo.card import Density
from zoo.testing import CHECKS, Subject

SUBJECT = Subject(
    "pixelgauss",
    {"classes": 3, "shape": [3, 16, 16]},
    image=(3, 16, 16),
    latent=(3, 16, 16),
    latent_kind="continuous",
    log_prob=Density("exact", "continuous pixels"),
    hooks=("condition", "encode", "decode", "sample", "log_prob"),
    request={"label": 2},
    lossless=True,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check):
    check(SUBJECT)
