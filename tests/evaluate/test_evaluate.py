"""`evaluate` and `zoo eval` on a model whose numbers are known by other means."""

import json
import math

import numpy as np
import pytest
import torch
from synthetic import drawn

import zoo
from zoo import evaluate as measuring
from zoo.errors import DataError, RequestError, Unsupported
from zoo.evaluate.command import put_into_card, run
from zoo.evaluate.metric import Metric, mean_and_se

BASIC = ("psnr", "ssim", "codebook", "rate", "speed", "bits-per-dim")


def by_name(metrics):
    return {each.name: each for each in metrics}


def test_numbers_of_a_tokenizer(blocks, pictures):
    found = by_name(measuring.evaluate(blocks, pictures, BASIC, batch_size=4))
    images = pictures.float() / 127.5 - 1
    tokens = blocks.encode(images)
    back = ((blocks.decode(tokens).tensor + 1) * 127.5).round().byte()
    errors = (back.double() - pictures.double()).square().mean((1, 2, 3))
    each = (10 * (255**2 / errors).log10()).tolist()
    assert found["PSNR"].value == pytest.approx(sum(each) / 10)
    assert found["PSNR"].se == pytest.approx(np.std(each, ddof=1) / math.sqrt(10))
    assert found["PSNR of mean MSE"].value == pytest.approx(
        10 * math.log10(255**2 / float(errors.mean()))
    )
    assert found["PSNR of mean MSE"].value <= found["PSNR"].value
    used = len(tokens.unique())
    assert found["codebook usage"].value == pytest.approx(100 * used / 16)
    assert 1 < found["codebook perplexity"].value <= used
    assert found["token bits per pixel"].value == 16 * 4 / 32**2
    assert found["bytes a picture"].value == 8
    assert found["bits per dimension"].value == pytest.approx(8)
    assert found["bits per dimension"].settings["kind"] == "exact"
    assert found["seconds a picture"].value > 0
    assert {each.count for each in found.values()} == {10}
    assert found["SSIM"].unit == ""
    assert "blocks@1.0.0" in found["SSIM"].command


def test_batch_size_changes_nothing(blocks, pictures):
    names = ("psnr", "ssim", "codebook", "bits-per-dim")
    one = measuring.evaluate(blocks, pictures, names, batch_size=1)
    many = measuring.evaluate(blocks, pictures, names, batch_size=7)
    assert [each.value for each in one] == pytest.approx([each.value for each in many])


def test_count_spreads_over_the_set(blocks, pictures):
    (metric, _) = measuring.evaluate(blocks, pictures, ["psnr"], count=5)
    (same, _) = measuring.evaluate(blocks, pictures[::2], ["psnr"])
    assert (metric.count, metric.value) == (5, same.value)


def test_data_set_items_and_plain_tensors_are_alike(blocks, pictures):
    class Set:
        name = "discs-32/test"

        def __len__(self):
            return len(pictures)

        def __getitem__(self, index):
            return {"image": pictures[index], "caption": "a disc", "label": None}

    (a, _), (b, _) = (
        measuring.evaluate(blocks, data, ["psnr"]) for data in (Set(), list(pictures))
    )
    assert a.value == b.value
    assert a.data == "discs-32/test"


def test_lpips_of_a_model(blocks, lpips_weights):
    pictures = drawn(3)
    (metric,) = measuring.evaluate(blocks, pictures, ["lpips"])
    from zoo.nn.lpips import LPIPS

    images = pictures.float() / 127.5 - 1
    back = ((blocks.decode(blocks.encode(images)).tensor + 1) * 127.5).round() / 127.5 - 1
    with torch.inference_mode():
        assert metric.value == pytest.approx(float(LPIPS()(back, images).mean()), abs=1e-6)
    assert metric.name == "LPIPS (alex)"


def test_what_cannot_be_measured(blocks, pictures):
    with pytest.raises(RequestError, match=r"No metric 'pnsr'.*Did you mean 'psnr'"):
        measuring.evaluate(blocks, pictures, ["pnsr"])
    with pytest.raises(RequestError, match="1 to 10"):
        measuring.evaluate(blocks, pictures, ["psnr"], count=11)
    with pytest.raises(DataError, match="zoo data build lpips"):
        measuring.evaluate(blocks, pictures, ["lpips"])
    with pytest.raises(DataError, match="zoo data build efficientnet-lite2"):
        measuring.evaluate(blocks, pictures, ["fd"])
    with pytest.raises(DataError, match=r"float32 \(3, 32, 32\)"):
        measuring.evaluate(blocks, pictures.float(), ["psnr"])
    with pytest.raises(DataError, match=r"\(3, 32, 32\), \(3, 40, 40\)"):
        measuring.evaluate(blocks, [pictures[0], drawn(1, 40)[0]], ["psnr"])


def test_a_model_without_tokens_has_no_codebook(blocks, pictures):
    from dataclasses import replace

    plain = replace(blocks.card, latent=None, latent_kind="none", codes=None, log_prob=None)
    with pytest.raises(Unsupported, match="no tokens"):
        measuring.evaluate(replace(blocks, card=plain), pictures, ["rate"])
    with pytest.raises(Unsupported, match="no log_prob"):
        measuring.evaluate(replace(blocks, card=plain), pictures, ["bits-per-dim"])


def test_mean_and_standard_error():
    assert mean_and_se([1.0, 2.0, 3.0, 4.0]) == (2.5, pytest.approx(math.sqrt(5 / 3 / 4)))
    assert mean_and_se([7.0]) == (7.0, None)


def number(name, value, **more):
    given = {
        "unit": "dB",
        "se": 0.125,
        "count": 9,
        "data": "icons-128/test",
        "command": "zoo eval x",
    }
    return Metric(name, value, **(given | more))


def test_a_card_takes_metrics_once_and_keeps_the_rest(blocks):
    folder = blocks.folder
    put_into_card(folder, [number("PSNR", 20.0), number("PSNR", 30.0, data="photos-128/test")])
    put_into_card(
        folder, [number("PSNR", 21.123456789), number("SSIM", 0.5, unit="", se=None)], "table one"
    )
    put_into_card(folder, [], "table two")
    card = zoo.load(folder).card
    assert [(m.name, m.value, m.data, m.unit) for m in card.metrics] == [
        ("PSNR", 21.123, "icons-128/test", "dB"),
        ("PSNR", 30.0, "photos-128/test", "dB"),
        ("SSIM", 0.5, "icons-128/test", None),
    ]
    assert "Sixteen colours." in card.body
    assert "table two" in card.body
    assert "table one" not in card.body
    with pytest.warns(UserWarning, match="keeps what was measured of more pictures: PSNR of 9"):
        put_into_card(folder, [number("PSNR", 25.0, count=8), number("SSIM", 0.6, count=10)])
    assert [m.value for m in zoo.load(folder).card.metrics] == [21.123, 30.0, 0.6]


@pytest.fixture
def built_set():
    """Discs of 32 pixels as a built set of the store."""
    from zoo.hub.home import home

    folder = home() / "data" / "discs-32"
    folder.mkdir(parents=True)
    for split, count in (("train", 4), ("test", 12)):
        np.save(folder / f"{split}.npy", drawn(count).permute(0, 2, 3, 1).numpy())
        lines = [
            json.dumps({"name": f"disc-{i}", "caption": "a disc", "set": "discs"})
            for i in range(count)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    facts = {
        "name": "discs", "size": 32, "sources": [], "counts": {"train": 4, "test": 12},
        "split": "none", "made_with": "a test",
    }  # fmt: skip
    (folder / "data.json").write_text(json.dumps(facts))
    return folder


def test_a_set_can_be_named(blocks, built_set):
    pytest.importorskip("zoo.data", reason="zoo.data is not there yet")
    (named, _) = measuring.evaluate(blocks, str(built_set), ["psnr"])
    (given, _) = measuring.evaluate(blocks, drawn(12), ["psnr"])
    assert (named.value, named.count, named.data) == (given.value, 12, "discs")


def test_zoo_eval_writes_the_card(blocks, built_set, capsys):
    pytest.importorskip("zoo.data", reason="zoo.data is not there yet")
    report = run(blocks.folder, str(built_set), metrics=["psnr", "rate"], count=6, write=True)
    card = zoo.load(blocks.folder).card
    assert [each.name for each in card.metrics] == [each.name for each in report.metrics]
    metric = card.metrics[0]
    assert metric.command == (
        f"zoo eval {blocks.folder} --data {built_set} --split test --size 32 "
        "--metric psnr --metric rate --count 6"
    )
    assert (metric.data, metric.count) == ("discs-32/test", 6)
    assert report.written == (blocks.folder / "README.md",)
    assert (
        json.loads(json.dumps(report.as_dict()))["metrics"][0]["value"] == report.metrics[0].value
    )
    assert "PSNR" in report.text()


def test_zoo_eval_compares_with_codecs(blocks, built_set, lpips_weights):
    pytest.importorskip("zoo.data", reason="zoo.data is not there yet")
    pytest.importorskip("pillow_jxl")
    report = run(blocks.folder, str(built_set), metrics=["rate"], count=3, write=True, codecs=True)
    assert [row.codec for row in report.rows] == ["jpeg", "webp", "avif", "jxl"]
    assert {(row.budget, row.count) for row in report.rows} == {(8, 3)}
    card = zoo.load(blocks.folder).card
    assert "| **blocks** | 8 |" in card.body
    assert zoo.verify(blocks.folder)
    assert "codecs.png" in card.files
    assert (blocks.folder / "codecs.png").is_file()
