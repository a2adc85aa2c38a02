"""A family with log_prob tells the trainer what it gives, so that a trained card says so."""

import pytest
import torch

from zoo.card import Card
from zoo.train import Recipe, finish, train
from zoo.train.recipe import Data, Model, Train

STAGE = {"mask": "checkerboard", "squeeze": True, "couplings": 2, "width": 4}
SIDE = {"widths": [4, 8], "blocks": [1, 1]}
CONFIGS = {
    "flow": {"image": [1, 8, 8], "stages": [STAGE]},
    "vae": {
        "image": [1, 8, 8],
        "latents": [3],
        "likelihood": {"kind": "bernoulli"},
        "encoder": SIDE,
        "decoder": SIDE,
    },
    "pixel": {
        "kind": "mosaic",
        "size": 8,
        "channels": 1,
        "levels": 2,
        "width": 8,
        "layers": "d",
    },
}
GIVES = {
    "flow": ("lower bound", "8-bit pixels"),
    "vae": ("lower bound", "binary pixels"),
    "pixel": ("exact", "binary pixels"),
}


class Dots:
    """Black and white pictures (1, 8, 8)."""

    name, licences = "dots", ("CC0-1.0",)

    def __len__(self):
        return 16

    def __getitem__(self, index):
        place = torch.Generator().manual_seed(index)
        return {"image": (torch.rand(1, 8, 8, generator=place) < 0.5).to(torch.uint8) * 255}


@pytest.mark.parametrize("family", CONFIGS)
def test_a_trained_card_says_what_its_log_prob_is(family, tmp_path):
    recipe = Recipe(
        model=Model(family, config=CONFIGS[family]),
        data=Data(batch=8),
        train=Train(steps=2, log_every=0, threads=1),
    )
    folder = finish(train(recipe, tmp_path / "run", data=Dots()), f"{family}-dots")
    density = Card.read(folder).log_prob
    assert density is not None
    assert (density.kind, density.over) == GIVES[family]
