"""The tokenizers keep the contract of all families, with every quantizer and both kinds of net."""

import pytest

from zoo.testing import CHECKS, Subject

QUANTIZERS = {
    "vector": {"kind": "vector", "codes": 32, "dim": 4},
    "cosine": {"kind": "vector", "codes": 32, "dim": 4, "cosine": True},
    "lookup-free": {"kind": "lookup-free", "bits": 5},
    "finite-scalar": {"kind": "finite-scalar", "levels": [5, 4, 3]},
}
CODES = {"finite-scalar": 60}


def compact(quantizer, latent):
    return {
        "post_quant_conv": False,
        "encoder": {
            "kind": "compact",
            "channels": 3,
            "patch": 2,
            "widths": [8, 32],
            "blocks": [1, 1],
        },
        "decoder": {
            "kind": "compact",
            "channels": 3,
            "latent": latent,
            "patch": 2,
            "widths": [8, 32],
            "blocks": [1, 1],
            "fine": 4,
        },
        "quantizer": quantizer,
    }


def residual(quantizer):
    side = {"channels": 3, "latent": 8, "widths": [8, 16, 16], "groups": 4}
    return {
        "encoder": {**side, "blocks": 1, "attention": [2]},
        "decoder": {**side, "blocks": 2, "attention": [2]},
        "quantizer": quantizer,
    }


def subject(name, config):
    return Subject(
        "vq",
        config,
        image=(3, 16, 16),
        latent=(4, 4),
        latent_kind="tokens",
        codes=CODES.get(name, 32),
        multiple=4,
        hooks=("encode", "decode"),
        recipe={"pixel": "l2"},
    )


SUBJECTS = {
    **{
        f"compact, {name}": subject(
            name, compact(options, {"lookup-free": 5, "finite-scalar": 3}.get(name, 4))
        )
        for name, options in QUANTIZERS.items()
    },
    "residual, vector": subject("vector", residual(QUANTIZERS["vector"])),
}


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check, kind):
    check(SUBJECTS[kind])
