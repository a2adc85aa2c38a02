"""Bits and nats from `zoo eval`: of several models in one table, what differs kept apart."""

import json
import math

import pytest
import torch
from click.testing import CliRunner
from coins_family import every_picture

import zoo
from zoo import evaluate as measuring
from zoo.cli import cli
from zoo.errors import DataError, Unsupported
from zoo.evaluate.metric import Metric

BITS, NATS = "bits per dimension", "negative log-probability"


def by_name(metrics):
    return {each.name: each for each in metrics}


def evaluated(*arguments):
    answer = CliRunner().invoke(cli, ["eval", *map(str, arguments)], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def given(chances, picture):
    """log p of one picture, coin by coin."""
    return sum(
        math.log(p if pixel > 0 else 1 - p)
        for p, pixel in zip(chances.flatten().tolist(), picture.flatten().tolist(), strict=True)
    )


def test_a_binary_model_is_told_of_in_nats_and_bits(coins, all_coins):
    model = zoo.load(coins / "bent", dtype=torch.float64)
    chances = model.net.white.detach()
    wanted = [
        -math.log(sum(math.exp(given(row, each)) for row in chances) / 3)
        for each in every_picture()
    ]
    metrics = measuring.evaluate(model, str(all_coins), ["bits_per_dim"], batch_size=5)
    assert [each.name for each in metrics] == [NATS, BITS]
    found = by_name(metrics)
    mean = math.fsum(wanted) / 16
    spread = math.sqrt(sum((each - mean) ** 2 for each in wanted) / 15 / 16)
    assert found[NATS].value == pytest.approx(mean, rel=1e-12)
    assert found[NATS].se == pytest.approx(spread, rel=1e-12)
    assert found[BITS].value == pytest.approx(mean / 4 / math.log(2), rel=1e-12)
    for each in metrics:
        assert (each.settings["kind"], each.settings["over"]) == ("exact", "binary pixels")
        assert each.count == 16


def test_nats_alone_both_spellings_and_no_number_twice(coins, all_coins):
    model = zoo.load(coins / "bent")
    (nats,) = measuring.evaluate(model, str(all_coins), ["nats"])
    assert nats.name == NATS
    both = measuring.evaluate(model, str(all_coins), ["nats", "bits-per-dim", "bits_per_dim"])
    assert [each.name for each in both] == [NATS, BITS]
    assert measuring.evaluate(model, str(all_coins))[1].name == BITS  # the usual one
    eight = zoo.load(coins / "eight")
    assert [m.name for m in measuring.evaluate(eight, str(all_coins), ["bits-per-dim"])] == [BITS]


def test_a_condition_stands_in_the_name_and_in_the_command(coins, all_coins):
    report = measuring.run(
        coins / "bent", str(all_coins), metrics=["nats"], request={"label": 1}, write=True
    )
    (metric,) = report.metrics
    chances = zoo.load(coins / "bent", dtype=torch.float64).net.white[1].detach()
    wanted = -sum(given(chances, each) for each in every_picture()) / 16
    assert metric.value == pytest.approx(wanted, rel=1e-5)
    assert metric.name == f"{NATS} (label=1)"
    assert metric.command.endswith("--metric nats -c label=1")
    measuring.run(coins / "bent", str(all_coins), metrics=["nats"], write=True)
    names = [each.name for each in zoo.load(coins / "bent").card.metrics]
    assert names == [f"{NATS} (label=1)", NATS]


def test_one_call_gives_one_table(coins, all_coins):
    arguments = [coins / "fair", coins / "eight", coins / "bent", "--data", all_coins]
    text = evaluated(*arguments, "--metric", "bits_per_dim")
    binary, eight, notes = text.strip().split("\n\n")
    lines = binary.splitlines()
    assert lines[0] == "coins-2/test, 16 pictures, over binary pixels"
    assert lines[1].split() == ["model", "kind", *NATS.split(), "[nats]", "±", *BITS.split(),
                                "[bit]", "±"]  # fmt: skip
    assert lines[2].split()[:3] == ["fair@1.0.0", "exact", "2.7726"]  # 4 ln 2; `bent` is worse
    assert lines[3].startswith("bent@1.0.0")
    assert eight.startswith("coins-2/test, 16 pictures, over 8-bit pixels\n")
    assert "eight@1.0.0" in eight
    assert "compare numbers within a table, never between" in notes
    report = json.loads(evaluated(*arguments, "--metric", "bits_per_dim", "--json"))
    rows = [(m["settings"]["model"], m["name"], m["settings"]["over"]) for m in report["metrics"]]
    assert rows == [
        ("fair@1.0.0", NATS, "binary pixels"),
        ("fair@1.0.0", BITS, "binary pixels"),
        ("eight@1.0.0", BITS, "8-bit pixels"),
        ("bent@1.0.0", NATS, "binary pixels"),
        ("bent@1.0.0", BITS, "binary pixels"),
    ]
    assert all(m["se"] is not None and m["count"] == 16 for m in report["metrics"])


def test_one_model_is_told_of_with_its_kind(coins, all_coins):
    text = evaluated(coins / "bent", "--data", all_coins, "--metric", "nats")
    assert text.splitlines()[0].split() == ["metric", "value", "±", "unit", "pictures", "kind"]
    assert text.splitlines()[1].endswith("exact, binary pixels")


def metric(model, value, kind="exact", over="8-bit pixels", data="cifar10-32/test"):
    return Metric(BITS, value, "bit", 0.01, 100, data, "zoo eval",
                  {"model": model, "kind": kind, "over": over})  # fmt: skip


def test_kinds_are_named_and_sets_kept_apart():
    text = measuring.comparison(
        [metric("a", 3.5), metric("b", 3.4, "lower bound"), metric("c", 1.0, data="mnist-28/test")]
    )
    first, second, notes = text.split("\n\n")
    assert [line.split()[:3] for line in first.splitlines()[2:]] == [
        ["b", "lower", "bound"], ["a", "exact", "3.5"]
    ]  # fmt: skip
    assert second.startswith("mnist-28/test")
    assert notes.startswith("kind: exact is -log p itself")
    alike = measuring.comparison([metric("a", 3.5), metric("b", 3.4)])
    assert "kind: exact" not in alike
    assert "never between" not in alike


def test_what_cannot_be_measured_is_told_before_anything_is(coins, all_coins, blocks):
    from dataclasses import replace

    silent = replace(zoo.load(coins / "fair"), card=replace(blocks.card, log_prob=None))
    with pytest.raises(Unsupported, match="blocks gives no log_prob"):
        measuring.evaluate(silent, torch.zeros(3, 1, 2, 2).byte(), ["nats"])
    with pytest.raises(Unsupported, match=r"blocks@1\.0\.0 is not known to be a model of labelled"):
        measuring.run_all([coins / "bent", blocks.folder], data=str(all_coins),
                          metrics=["accuracy"], write=True)  # fmt: skip
    assert zoo.load(coins / "bent").card.metrics == ()
    with pytest.raises(zoo.RequestError, match="one model at a time"):
        measuring.run_all([coins / "bent", coins / "fair"], codecs=True)
    with pytest.raises(DataError, match="needs their labels"):
        measuring.evaluate(zoo.load(coins / "bent"), torch.zeros(3, 1, 2, 2).byte(), ["accuracy"])


def test_a_model_is_measured_on_what_it_was_trained_on(coins):
    from zoo.card import Card, Training
    from zoo.evaluate.command import usual_set

    def trained(*names):
        return Card(name="x", family="y", version="1.0.0", config={}, image=(1, 2, 2),
                    license="mit", training=Training(data=names))  # fmt: skip

    assert usual_set(trained("my-pictures", "mnist")) == "mnist"
    assert usual_set(trained("my-pictures", "lpips")) == "icons"
    assert usual_set(zoo.load(coins / "bent").card) == "icons"
