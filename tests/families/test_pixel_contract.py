"""The pixel models keep the contract of all families, with every kind of net."""

import pytest

from zoo.card import Density
from zoo.images import Images
from zoo.testing import CHECKS, Subject
from zoo.testing.coding import one_image_does_not_change_the_log_prob_of_another

CONFIGS = {
    "gated": {"kind": "gated", "size": 6, "channels": 3, "levels": 256, "width": 8, "depth": 2, "kernel": 3},
    "pixelcnn++": {"kind": "pixelcnn++", "size": 8, "channels": 1, "width": 6, "blocks": 1, "mixtures": 2},
    "transformer": {"kind": "transformer", "size": 6, "channels": 1, "levels": 256, "width": 8, "depth": 1, "heads": 2},
    "mosaic": {"kind": "mosaic", "size": 6, "channels": 3, "levels": 256, "width": 8, "layers": "dca", "hidden": 8,
               "copies": 2},
}  # fmt: skip
BINARY = {"kind": "mosaic", "size": 6, "channels": 1, "levels": 2, "width": 8, "layers": "da"}


def subject(config, over="8-bit pixels", of=Subject):
    return of(
        "pixel",
        {**config, "classes": 3},
        image=(config["channels"], config["size"], config["size"]),
        log_prob=Density("exact", over),
        hooks=("condition", "sample", "log_prob"),
        request={"label": 1},
    )


class BlackAndWhite(Subject):
    @property
    def images(self):
        return Images(super().images.tensor.sign())


SUBJECTS = {name: subject(config) for name, config in CONFIGS.items()}
BINARIES = subject(BINARY, "binary pixels", BlackAndWhite)
LEFT_OUT = one_image_does_not_change_the_log_prob_of_another  # it makes greys


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check, kind):
    check(SUBJECTS[kind])


@pytest.mark.parametrize(
    "check", [check for check in CHECKS if check is not LEFT_OUT], ids=lambda check: check.__name__
)
def test_contract_of_binary_pixels(check):
    check(BINARIES)
