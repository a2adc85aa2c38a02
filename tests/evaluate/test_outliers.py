"""AUROC against counting all pairs, and the two scores of a model whose density is known."""

import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from coins_family import every_picture

import zoo
from zoo import evaluate as measuring
from zoo.cli import cli
from zoo.errors import DataError, Unsupported


def pairs(inside, outside):
    """(n, m): 1 where an outside score is above an inside one, 1/2 where they are equal."""
    above = outside[:, None] > inside[None]
    return above.double() + (outside[:, None] == inside[None]).double() / 2


@pytest.mark.parametrize("levels", [3, 10_000])
def test_auroc_is_the_share_of_pairs(levels):
    generator = torch.Generator().manual_seed(0)
    inside = torch.randint(levels, (57,), generator=generator)
    outside = torch.randint(levels, (31,), generator=generator) + levels // 3
    won = pairs(inside, outside)
    value, se = measuring.auroc(inside, outside)
    assert value == pytest.approx(float(won.mean()), rel=1e-12)
    variance = np.var(won.mean(1).numpy(), ddof=1) / 31 + np.var(won.mean(0).numpy(), ddof=1) / 57
    assert se == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert measuring.auroc(outside, inside)[0] == pytest.approx(1 - value)


def test_auroc_of_two_normal_distributions():
    """Phi(d / sqrt 2) for means d apart; the errors stated are those that repeated draws show."""
    generator = torch.Generator().manual_seed(1)
    draws = torch.randn(400, 120, generator=generator, dtype=torch.float64)
    found = [measuring.auroc(row[:70], row[70:] + 1.0) for row in draws]
    values = np.array([value for value, _ in found])
    exact = 0.5 * (1 + math.erf(0.5))
    assert values.mean() == pytest.approx(exact, abs=4 * values.std() / 20)
    assert np.mean([se for _, se in found]) == pytest.approx(values.std(), rel=0.1)


def test_the_ends_of_the_scale():
    low, high = torch.arange(5.0), torch.arange(10.0, 15.0)
    assert measuring.auroc(low, high) == (1.0, 0.0)
    assert measuring.auroc(high, low)[0] == 0.0
    assert measuring.auroc(low, low)[0] == 0.5
    assert measuring.auroc(low[:1], high) == (1.0, None)


def uint8(pictures):
    return (pictures > 0).to(torch.uint8) * 255


def test_scores_of_a_known_density(coins):
    model = zoo.load(coins / "bent", dtype=torch.float64)
    images = every_picture()
    inside, outside, training = images[::2], images[1::3], images[3:12]
    log_p = {name: model.log_prob(each).nats for name, each in
             (("in", inside), ("out", outside), ("train", training))}  # fmt: skip
    entropy = -log_p["train"][[i * 9 // 8 for i in range(8)]].mean()  # 8 of 9, spread evenly
    one, two = measuring.outliers(
        model, uint8(inside), uint8(outside), uint8(training), batch_size=3,
        names=("coins/test", "others/test", "coins/train"), command="zoo eval",
    )  # fmt: skip
    assert one.name == "AUROC of -log p"
    assert one.value == pytest.approx(float(pairs(-log_p["in"], -log_p["out"]).mean()))
    far = {name: (each + entropy).abs() for name, each in log_p.items()}
    assert two.name == "AUROC of typicality"
    assert two.value == pytest.approx(float(pairs(far["in"], far["out"]).mean()))
    assert (one.count, one.data, one.command) == (8, "coins/test against others/test", "zoo eval")
    assert one.settings["outside pictures"] == len(outside)
    assert one.settings["training pictures"] == 8
    assert one.settings["mean nats"]["others/test"] == pytest.approx(float(log_p["out"].mean()))
    assert (one.settings["kind"], one.settings["over"]) == ("exact", "binary pixels")


def test_zoo_eval_against_another_set(coins, all_coins, tmp_path):
    other = tmp_path / "data" / "dark-2"
    other.mkdir()
    np.save(other / "test.npy", np.zeros((4, 2, 2, 1), np.uint8))
    np.save(other / "train.npy", np.zeros((0, 2, 2, 1), np.uint8))
    (other / "test.jsonl").write_text('{"name": "dark"}\n' * 4)
    (other / "train.jsonl").write_text("")
    facts = {"name": "dark", "size": 2, "sources": [], "counts": {"train": 0, "test": 4}}
    (other / "data.json").write_text(json.dumps(facts))
    arguments = ["eval", coins / "bent", "--data", all_coins, "--against", other, "--json"]
    answer = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    report = json.loads(answer.stdout)
    assert [each["name"] for each in report["metrics"]] == [
        "AUROC of -log p", "AUROC of typicality"
    ]  # fmt: skip
    model = zoo.load(coins / "bent")
    dark = model.log_prob(-torch.ones(4, 1, 2, 2)).nats
    seen = model.log_prob(every_picture()).nats
    assert report["metrics"][0]["value"] == pytest.approx(float(pairs(-seen, -dark).mean()))
    assert report["metrics"][0]["data"] == "coins-2/test against dark-2/test"
    assert f"--against {other}" in report["metrics"][0]["command"]
    with_bits = measuring.run(coins / "bent", str(all_coins), metrics=["nats"], against=str(other))
    assert with_bits.metrics[0].name == "negative log-probability"
    assert len(with_bits.metrics) == 3
    with pytest.raises(DataError, match="does not exist"):
        measuring.run(coins / "bent", str(all_coins), against="./nowhere")


def test_a_model_without_a_density_has_no_such_scores(blocks, pictures):
    from dataclasses import replace

    silent = replace(blocks, card=replace(blocks.card, log_prob=None))
    with pytest.raises(Unsupported, match="blocks gives no log_prob, so no out-of-distribution"):
        measuring.outliers(silent, pictures, pictures, pictures)
