"""Captions: zero-shot classification among them, log p a token and caption accuracy, all in closed form."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from words_family import WORDS

import zoo
from zoo import evaluate as measuring
from zoo.cli import cli
from zoo.errors import DataError, RequestError, Unsupported
from zoo.evaluate.gauges import usual
from zoo.evaluate.measure import captions_for, made

CAPTIONS = ("red", "green", "a dark blue")


def drawn(words, count, seed=0):
    """Pictures of random tokens (B, 4), and the tokens."""
    tokens = torch.randint(4, (count, 4), generator=torch.Generator().manual_seed(seed))
    return words.decode(tokens.view(-1, 2, 2)).tensor, tokens


def log_p(words, tokens, text):
    """Log p(t | text), factor by factor."""
    net, total, last = words.net, 0.0, 4
    mood = sum(net.mood[WORDS.index(word)] for word in text.split() if word in WORDS)
    for token in tokens.tolist():
        logits = (net.next[last] + mood).tolist()
        total += logits[token] - np.logaddexp.reduce(logits)
        last = token
    return total


def test_posteriors_among_captions_are_bayes_rule(words):
    images, tokens = drawn(words, 9)
    answer = zoo.classify(words, images, captions=CAPTIONS)
    nats = np.array([[log_p(words, each, text) for text in CAPTIONS] for each in tokens])
    np.testing.assert_allclose(answer.nats, nats, rtol=1e-12)
    wanted = np.exp(nats) / np.exp(nats).sum(1, keepdims=True)
    np.testing.assert_allclose(answer.probabilities, wanted, rtol=1e-10)
    assert answer.names == CAPTIONS
    assert answer.best.tolist() == wanted.argmax(1).tolist()
    assert (answer.kind, answer.over) == ("exact", "tokens")
    weighed = zoo.classify(words, images, captions=CAPTIONS, prior=[1, 2, 0]).probabilities
    joint = np.exp(nats) * [1, 2, 0]
    np.testing.assert_allclose(weighed, joint / joint.sum(1, keepdims=True), rtol=1e-10)


def test_the_tokens_of_a_picture_are_found_once(words):
    images, _ = drawn(words, 5)
    before = words.net.encoded
    many = [f"red {'green ' * n}" for n in range(60)]
    answer = zoo.classify(words, images, captions=many)  # 300 pairs, over the number at once
    assert words.net.encoded == before + 5
    for k in (0, 31, 59):
        alone = words.condition(text=many[k]).log_prob(images).nats
        torch.testing.assert_close(answer.nats[:, k], alone)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"captions": ["red"]}, "two or more different texts"),
        ({"captions": "red"}, r"two or more different texts to compare; got \('red',\)"),
        ({"captions": ["red", "red"]}, "two or more different texts"),
        ({"captions": ["red", " "]}, "two or more different texts"),
        ({"captions": CAPTIONS, "labels": [0, 1]}, "labels and captions were both given"),
        ({"captions": CAPTIONS, "prior": [1, 1]}, "each of the 3"),
        ({"captions": ["red", "mauve"]}, "this model knows red, green, blue, dark"),
        ({"labels": [0, 1]}, "no condition 'label'.*Known: text"),
    ],
)
def test_what_is_asked_wrongly(words, options, told):
    with pytest.raises(RequestError, match=told):
        zoo.classify(words, drawn(words, 2)[0], **options)


def test_a_model_of_labels_knows_no_captions(coins):
    with pytest.raises(RequestError, match="'text'"):
        zoo.classify(coins / "bent", torch.ones(1, 1, 2, 2), captions=CAPTIONS)


def test_the_command_takes_captions_and_a_file_of_them(words, tmp_path):
    images, tokens = drawn(words, 3)
    (tmp_path / "pictures").mkdir()
    for number, each in enumerate(images.float().add(1).mul(127.5).round().byte()):
        Image.fromarray(each.permute(1, 2, 0).numpy()).save(tmp_path / "pictures" / f"{number}.png")
    (tmp_path / "captions.txt").write_text("green\n\na dark blue\n", encoding="utf-8")
    arguments = ["classify", tmp_path / "pictures", "-m", tmp_path / "words", "--captions", "red",
                 "--captions-file", tmp_path / "captions.txt"]  # fmt: skip
    told = CliRunner().invoke(cli, [*map(str, arguments), "--json"], catch_exceptions=False)
    for row, each in zip(json.loads(told.stdout), tokens, strict=True):
        nats = [log_p(words, each, text) for text in CAPTIONS]
        assert row["name"] == CAPTIONS[int(np.argmax(nats))]
        assert row["label"] == int(np.argmax(nats))
        assert set(row["probabilities"]) == set(CAPTIONS)
    text = CliRunner().invoke(cli, [*map(str, arguments)]).stdout
    assert text.splitlines()[0].split() == ["picture", "caption", "probability", "then"]
    assert text.splitlines()[-1] == "by log_prob: exact, over tokens"
    (tmp_path / "latin.txt").write_bytes("grün\nrot\n".encode("latin-1"))
    arguments = ["classify", tmp_path / "pictures", "-m", "words", "--captions-file"]
    answer = CliRunner().invoke(cli, [*map(str, arguments), str(tmp_path / "latin.txt")])
    assert "latin.txt is not UTF-8 text (byte 2)" in str(answer.exception)


@pytest.fixture
def pairs(words):
    """120 pictures with 108 different captions: how often each colour is named."""
    images, _ = drawn(words, 120, seed=1)
    pictures = ((images + 1) * 127.5).round().byte()
    named = [" ".join(["red"] * a + ["green"] * b + ["blue"] * c)
             for a in range(5) for b in range(5) for c in range(5)][1:109]  # fmt: skip
    return [{"image": each, "caption": named[n % 108]} for n, each in enumerate(pictures)]


def test_log_p_a_token_is_the_mean_over_pictures(words, pairs):
    (metric,) = measuring.evaluate(words, pairs, ["log-p-per-token"], batch_size=50)
    tokens = words.encode(torch.stack([each["image"] for each in pairs]) / 127.5 - 1).flatten(1)
    wanted = [
        log_p(words, row, pair["caption"]) / 4 for row, pair in zip(tokens, pairs, strict=True)
    ]
    assert metric.value == pytest.approx(np.mean(wanted), rel=1e-12)
    assert metric.se == pytest.approx(np.std(wanted, ddof=1) / math.sqrt(120))
    assert (metric.name, metric.unit, metric.count) == ("log p per token", "nats", 120)
    assert metric.settings["kind"] == "exact"
    assert metric.settings["tokens a picture"] == 4


def test_caption_accuracy_is_by_the_stated_rule(words, pairs):
    before = words.net.encoded
    found = measuring.evaluate(
        words, pairs, ["caption-accuracy", "log-p-per-token"], count=12, batch_size=5
    )
    assert words.net.encoded == before + 12
    different = list(dict.fromkeys(pair["caption"] for pair in pairs))
    right = []
    for number in range(0, 120, 10):
        own = pairs[number]["caption"]
        row = words.encode(pairs[number]["image"][None] / 127.5 - 1).flatten()
        j, m = different.index(own), len(different)
        others = [different[(j + 1 + i * (m - 1) // 99) % m] for i in range(99)]
        assert len({own, *others}) == 100
        most = max(log_p(words, row, each) for each in others)
        right.append(log_p(words, row, own) > most)
    assert found[0].value == pytest.approx(100 * np.mean(right))
    assert found[0].settings["captions"] == 100
    assert "spread evenly" in found[0].settings["others"]
    assert [each.name for each in found] == ["caption accuracy", "log p per token"]


def test_a_caption_that_fits_is_found(words):
    """Pictures of the colour that is named, most of all: the right one among the hundred."""
    pairs = [
        {"image": words.decode(torch.full((1, 2, 2), n % 3)).tensor[0].add(1).mul(127.5).byte(),
         "caption": " ".join([WORDS[n % 3]] * (9 - n if n < 3 else 1) + [f"number-{n}"])}
        for n in range(100)
    ]  # fmt: skip
    (metric,) = measuring.evaluate(words, pairs[:100], ["caption-accuracy"], batch_size=50)
    assert metric.value == 3.0  # the three that name it most; all others have a better one


def test_what_caption_metrics_need(words, pairs, blocks, coins):
    assert usual(replace(words.card, config={"text": {}})) == (
        "log-p-per-token",
        "caption-accuracy",
    )
    assert usual(words.card) == ("nats",)
    with pytest.raises(DataError, match="among 100, and the split has 99 different"):
        measuring.evaluate(words, pairs[:99], ["caption-accuracy"])
    with pytest.raises(DataError, match=r"no caption of 1 of its 2 .*number 1 is the first"):
        measuring.evaluate(words, [pairs[0], {"image": pairs[1]["image"]}], ["log-p-per-token"])
    asked = replace(blocks, card=replace(blocks.card, hooks=("condition", "log_prob")))
    with pytest.raises(Unsupported, match="over 8-bit pixels, so no log p per token"):
        measuring.evaluate(asked, pairs, ["log-p-per-token"])
    with pytest.raises(Unsupported, match="no log_prob, so no caption accuracy"):
        measuring.evaluate(
            replace(words, card=replace(words.card, log_prob=None)), pairs, ["caption-accuracy"]
        )
    deaf = replace(words, card=replace(words.card, hooks=("log_prob",)))
    with pytest.raises(Unsupported, match="takes no conditions"):
        measuring.evaluate(deaf, pairs, ["log-p-per-token"])


def test_samples_are_drawn_given_each_picture_s_caption(words, pairs):
    captions = [[" ".join([WORDS[n % 4]] * 9)] for n in range(8)]
    pictures = torch.stack([each["image"] for each in pairs[:8]])
    batch = made(words, pictures, frozenset({"pictured"}), 3, 0, captions)
    tokens = words.encode(batch.need("pictured") / 127.5 - 1).flatten(1)
    assert tokens.tolist() == [[n % 4] * 4 for n in range(8)]
    given = captions_for(pairs, frozenset({"pictured"}))([4, 7])
    assert given == [[pairs[4]["caption"]], [pairs[7]["caption"]]]
