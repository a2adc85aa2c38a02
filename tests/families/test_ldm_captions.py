"""Caption accuracy of a latent diffusion model: the bound stands in for log p, with the same noise for all captions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from latents import autoencoder, reading

import zoo
from zoo import evaluate as measuring
from zoo.card import Density
from zoo.evaluate.captions import Choices
from zoo.evaluate.gauges import usual
from zoo.testing import Subject

LETTERS = "notredaplg"
SHOWN = [f"noto: {one}{other}" for one in LETTERS for other in LETTERS]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = Subject(
        "ldm", reading(), (3, 16, 16), (4, 4, 4), "continuous",
        log_prob=Density("lower bound", "latents"),
        parts={"autoencoder": autoencoder()},
    ).model  # fmt: skip
    card = replace(made.card, hooks=("condition", "log_prob"))
    return replace(made, card=card).condition(steps=2)


def test_the_right_caption_is_the_one_with_the_best_bound(model):
    pictures = torch.randint(0, 256, (100, 3, 16, 16), dtype=torch.uint8)
    pairs = [{"image": each, "caption": c} for each, c in zip(pictures, SHOWN, strict=True)]
    (found,) = measuring.evaluate(model, pairs, ["caption-accuracy"], count=2, batch_size=1, seed=5)
    assert found.settings["kind"] == "lower bound"
    assert found.settings["over"] == "latents"
    right = []
    choices = Choices(pairs)
    for step, numbers in enumerate([(0,), (99,)]):
        images = zoo.Images(torch.stack([pictures[n] for n in numbers]) / 127.5 - 1)
        rows = choices.rows(numbers, 100)
        nats = [
            model.condition(text=[row[k] for row in rows]).log_prob(images, seed=5 + step).nats
            for k in range(100)
        ]
        right += [
            float(all(own > other for other in rest)) for own, *rest in zip(*nats, strict=True)
        ]
    assert found.value == pytest.approx(100 * np.mean(right))


def test_its_card_is_measured_by_its_samples(model):
    assert usual(model.card) == ("fd-captions",)
    with pytest.raises(zoo.Unsupported, match="over latents, so no log p per token"):
        measuring.evaluate(model, torch.zeros(1, 3, 16, 16).byte(), ["log-p-per-token"])
