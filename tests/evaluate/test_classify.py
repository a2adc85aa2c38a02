"""The classifier that Bayes' rule makes of a density, where every posterior is known."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from coins_family import every_picture
from PIL import Image

import zoo
from zoo import evaluate as measuring
from zoo.card import Density, Training
from zoo.cli import cli
from zoo.errors import ImageError, RequestError, Unsupported
from zoo.evaluate.classifier import names_of


@pytest.fixture
def bent(coins):
    return zoo.load(coins / "bent", dtype=torch.float64)


def posterior(model, picture, prior):
    """p(y | x) by multiplying the coins' chances out."""
    joint = [
        weight * math.prod(p if x > 0 else 1 - p for p, x in zip(row, picture, strict=True))
        for weight, row in zip(prior, model.net.white.flatten(1).tolist(), strict=True)
    ]
    return [each / sum(joint) for each in joint]


@pytest.mark.parametrize("prior", [None, [0.2, 0.5, 0.3], [2, 0, 6]])
def test_posteriors_are_bayes_rule(bent, prior):
    images = every_picture()
    answer = zoo.classify(bent, images, prior=prior)
    weights = prior or [1, 1, 1]
    wanted = torch.tensor(
        [posterior(bent, each.flatten().tolist(), weights) for each in images], dtype=torch.float64
    )
    torch.testing.assert_close(answer.probabilities, wanted, rtol=1e-12, atol=1e-14)
    assert answer.best.equal(wanted.argmax(1))
    assert answer.labels == (0, 1, 2)
    assert (answer.kind, answer.over) == ("exact", "binary pixels")
    torch.testing.assert_close(answer.nats.exp().sum(0), torch.ones(3).double())  # densities


def test_some_labels_and_single_pictures(bent):
    image = every_picture()[6]
    two = zoo.classify(bent, image, labels=[2, 0])
    every = zoo.classify(bent, image).probabilities[0]
    torch.testing.assert_close(two.probabilities[0], every[[2, 0]] / every[[2, 0]].sum())
    assert int(two.best[0]) == (2 if every[2] > every[0] else 0)
    assert "Classes(1 images of 2 labels: " in repr(two)


def test_a_model_can_be_named(coins):
    assert zoo.classify(coins / "bent", every_picture()[:2]).probabilities.shape == (2, 3)


def test_all_labels_see_the_same_draws(pixelgauss):
    """A noisy density, equal for all labels: the noise must cancel, whatever the seed."""
    from types import SimpleNamespace

    import zoo_pixelgauss

    from zoo import plugins
    from zoo.testing import Subject

    @zoo.hookimpl
    def log_prob(images, generator):
        return torch.randn(len(images), generator=generator) * 100

    hooks = {each: getattr(zoo_pixelgauss, each) for each in ("build", "condition")}
    family = plugins.register("noisy", SimpleNamespace(**hooks, log_prob=log_prob))
    subject = Subject(family, {"classes": 3, "shape": [1, 2, 2]}, image=(1, 2, 2),
                      log_prob=Density("estimate", "continuous pixels"))  # fmt: skip
    answer = zoo.classify(subject.model, every_picture().float())
    torch.testing.assert_close(answer.probabilities, torch.full((16, 3), 1 / 3).double())
    assert answer.kind == "estimate"


def test_names_come_from_the_set_it_was_trained_on(bent):
    def card(classes, *trained):
        return replace(bent.card, config={"classes": classes}, training=Training(data=trained))

    assert names_of(card(10, "mine", "fashion-mnist"))[9] == "ankle boot"
    assert names_of(card(10, "mnist")) == tuple("0123456789")
    assert names_of(card(3, "mnist")) == ()
    assert zoo.classify(bent, every_picture()[0]).names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"labels": [1]}, "two or more different ones"),
        ({"labels": [1, 1]}, "two or more different ones"),
        ({"labels": [0, 3]}, "label must be 0 .. 2, is 3"),
        ({"prior": [1, 1]}, "each of the 3 labels"),
        ({"prior": [1, -1, 1]}, "a weight of 0 or more"),
        ({"prior": [0, 0, 0]}, "not all 0"),
        ({"prior": [1, float("nan"), 1]}, "a weight of 0 or more"),
    ],
)
def test_what_is_asked_wrongly(bent, options, told):
    with pytest.raises(RequestError, match=told):
        zoo.classify(bent, every_picture(), **options)


def test_models_that_are_no_classifiers(bent, blocks):
    plain = replace(bent, card=replace(bent.card, config={"shape": [1, 2, 2]}))
    with pytest.raises(Unsupported, match="config has no `classes`"):
        zoo.classify(plain, every_picture())
    assert zoo.classify(plain, every_picture(), labels=range(3)).labels == (0, 1, 2)
    silent = replace(bent, card=replace(bent.card, log_prob=None))
    with pytest.raises(Unsupported, match="does not say what its log_prob means"):
        zoo.classify(silent, every_picture())
    with pytest.raises(Unsupported, match="'blocks' does not give condition"):
        zoo.classify(blocks, torch.zeros(1, 3, 32, 32), labels=[0, 1])
    with pytest.raises(ImageError, match=r"zoo\.data\.binarise"):
        zoo.classify(bent, torch.zeros(1, 1, 2, 2).double())


def test_accuracy_counts_what_bayes_rule_finds(coins, all_coins, bent):
    (metric,) = measuring.evaluate(bent, str(all_coins), ["accuracy"], batch_size=5)
    right = [
        int(np.argmax(posterior(bent, each.flatten().tolist(), [1, 1, 1])) == index % 3)
        for index, each in enumerate(every_picture())
    ]
    share = sum(right) / 16
    assert metric.value == pytest.approx(100 * share)
    assert metric.se == pytest.approx(100 * math.sqrt(share * (1 - share) / 15))
    assert (metric.name, metric.unit, metric.count) == ("accuracy", "%", 16)
    assert metric.settings["classes"] == 3
    (some,) = measuring.evaluate(bent, str(all_coins), ["accuracy"], count=4, batch_size=3)
    assert some.value == pytest.approx(100 * sum(right[::4]) / 4)  # labels go with their pictures


def classified(*arguments):
    return CliRunner().invoke(cli, ["classify", *map(str, arguments)])


def test_the_command(coins, bent, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    chosen = every_picture()[[5, 9, 14]]
    for index, each in enumerate(chosen):
        Image.fromarray(((each[0] > 0).numpy() * 255).astype(np.uint8)).save(
            folder / f"{index}.png"
        )
    answer = classified(folder, "-m", coins / "bent", "--json", "--batch", 2, "--prior", "1,2,1")
    rows = json.loads(answer.stdout)
    for row, each in zip(rows, chosen, strict=True):
        wanted = posterior(bent, each.flatten().tolist(), [1, 2, 1])
        assert row["label"] == int(np.argmax(wanted))
        assert row["probability"] == pytest.approx(max(wanted), rel=1e-5)
        assert list(row["probabilities"].values()) == sorted(row["probabilities"].values())[::-1]
        assert row["probabilities"] == pytest.approx(
            dict(zip("012", wanted, strict=True)), rel=1e-5
        )
        assert row["kind"] == "exact"
    text = classified(folder, "-m", coins / "bent").stdout
    assert text.splitlines()[0].split() == ["picture", "label", "probability", "then"]
    assert text.splitlines()[-1] == "by log_prob: exact, over binary pixels"
    two = json.loads(classified(folder, "-m", coins / "bent", "--labels", "0,2", "--json").stdout)
    assert set(two[0]["probabilities"]) == {"0", "2"}


def test_the_command_draws_grey_pictures_black_and_white(coins, tmp_path):
    Image.new("L", (2, 2), 128).save(tmp_path / "grey.png")
    arguments = (tmp_path / "grey.png", "-m", coins / "bent", "--json")
    rows = [json.loads(classified(*arguments, "--seed", seed).stdout)[0] for seed in (0, 0, 1, 2)]
    assert rows[0] == rows[1]
    assert len({row["probability"] for row in rows}) > 1


def test_the_command_asked_wrongly(coins, tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "dark.png")
    answer = classified(tmp_path / "dark.png", "-m", coins / "bent", "--prior", "1,x,1")
    assert "not numbers separated by commas" in answer.stderr
    answer = classified(tmp_path / "dark.png", "-m", coins / "bent", "--labels", "0,1.5")
    assert "not whole numbers from 0 on" in answer.stderr
