"""The diffusion models keep the contract of all families: each kind of schedule, prediction and likelihood."""

import pytest

from zoo.card import Density
from zoo.testing import CHECKS, Subject

NET = {
    "kind": "unet",
    "channels": 1,
    "outputs": 1,
    "widths": [8],
    "blocks": 1,
    "residual": {"groups": 4},
}


def subject(process, net=None, request=None, recipe=None, **options):
    net = {**NET, **(net or {})}
    return Subject(
        "diffusion",
        {"image": [1, 8, 8], "net": net, "process": process, "classes": net.get("classes", 0)},
        image=(1, 8, 8),
        latent=(1, 8, 8),
        latent_kind="continuous",
        log_prob=Density("lower bound", "8-bit pixels"),
        hooks=("condition", "encode", "decode", "sample", "log_prob"),
        request={"steps": 3, **(request or {})},
        options={"steps": 3, **options},
        recipe=recipe or {},
        tolerance=5e-3,
    )


SUBJECTS = {
    "learned variance, ddpm": subject(
        {"schedule": "cosine", "steps": 8, "variance": "learned-range"}, {"outputs": 2}, sampler="ddpm"
    ),
    "labels, cosine v, guided": subject(
        {"schedule": "cosine", "steps": 8, "prediction": "v"},
        {"classes": 3, "null": True}, {"label": 2}, {"loss": "min-snr"}, sampler="dpm++2m",
    ),
    "flow matching": subject(
        {"schedule": "flow", "steps": 4, "prediction": "velocity"}, request={"trace": "estimate"}, sampler="heun"
    ),
    "edm": subject({"schedule": "edm", "steps": 4, "prediction": "edm"}, sampler="heun", churn=1.0),
}  # fmt: skip


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check, kind):
    check(SUBJECTS[kind])
