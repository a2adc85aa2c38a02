"""`zoo sample` of texts: a row a text, candidates chosen among, previews, samples by the folder."""

import json

import numpy as np
import pytest
import torch
import toys
from click.testing import CliRunner
from PIL import Image

import zoo
from zoo.card import Density
from zoo.cli import cli
from zoo.cli.sample import _previews
from zoo.demo.prompts import EACH, asked
from zoo.errors import RequestError, Unsupported
from zoo.evaluate.sheets import of_texts
from zoo.testing import Subject

TEXTS = ("noto: red apple", "twemoji: green house")
CONFIG = {"shape": toys.SHAPE, "grid": [4, 4], "codes": 24, "null": True, "text": toys.TEXT}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A text-to-image model with random weights, and its tokenizer beside it."""
    place = tmp_path_factory.mktemp("models")
    tokenizer = toys.tokenizer()
    tokenizer.save(place / "bricks", name="bricks")
    subject = Subject(
        "dalle", CONFIG, image=(3, 16, 16), latent=(4, 4), latent_kind="tokens", codes=24,
        log_prob=Density("exact", "tokens"), parts={"tokenizer": tokenizer},
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for each in subject.model.net.parameters():
            torch.nn.init.normal_(each, std=0.5)
    hooks = ("condition", "encode", "decode", "sample", "log_prob")
    changes = {"name": "tiny", "parts": {"tokenizer": "bricks@1.0.0"}, "hooks": hooks}
    return subject.model.save(place / "tiny", **changes)


@pytest.fixture
def sample(folder):
    def run(*arguments):
        asked = ["sample", folder, "--json", *arguments]
        told = CliRunner().invoke(cli, [*map(str, asked)])
        if told.exception is not None and not isinstance(told.exception, SystemExit):
            raise told.exception
        assert told.exit_code == 0, told.output
        return json.loads(told.stdout)

    return run


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


def test_a_row_of_pictures_for_each_text(sample, folder, tmp_path):
    asked = ("-n", 3, "--seed", 5, "-t", TEXTS[0])
    told = sample(*asked, "-t", TEXTS[1], "-o", tmp_path / "two.png")
    assert told["texts"] == [TEXTS[0]] * 3 + [TEXTS[1]] * 3
    assert pixels(tmp_path / "two.png").shape == (2 * 18 - 2, 3 * 18 - 2, 3)
    sample(*asked, "-o", tmp_path / "one.png", "--columns", 3)
    first = pixels(tmp_path / "two.png")[:16]
    np.testing.assert_array_equal(first, pixels(tmp_path / "one.png"))
    wanted = zoo.load(folder).condition(text=list(TEXTS)).sample(2, seed=5).uint8()
    sample("--seed", 5, "-n", 1, "-t", TEXTS[0], "-t", TEXTS[1], "-o", tmp_path / "folder")
    for name, each in zip(("000.png", "001.png"), wanted, strict=True):
        np.testing.assert_array_equal(pixels(tmp_path / "folder" / name), each)


def test_a_sheet_says_what_was_asked_for(sample, folder, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join([TEXTS[1], "", "noto: green apple"]))
    asked = ("--seed", 5, "-n", 2, "--labelled", "--texts-file", tmp_path / "texts.txt")
    told = sample("-t", TEXTS[0], *asked, "-o", tmp_path / "sheets" / "new.png")
    texts = [*TEXTS, "noto: green apple"]
    assert told["texts"] == [text for text in texts for _ in range(2)]
    drawn = zoo.load(folder).condition(text=told["texts"]).sample(6, seed=5)
    wanted = np.array(of_texts(drawn, texts))
    np.testing.assert_array_equal(pixels(tmp_path / "sheets" / "new.png"), wanted)
    with pytest.raises(RequestError, match="5 pictures are not as many of each of 2 texts"):
        of_texts(drawn[:5], texts[:2])


def test_a_sheet_says_what_training_has_of_each_text(sample, folder, tmp_path):
    rows = [("noto", "red apple"), ("noto", "green house"), ("twemoji", "red apple")]
    captions = [f"{style}: {name}" for style, name in rows]
    (tmp_path / "set").mkdir()
    for number, caption in enumerate(
        captions * 12
    ):  # some are held out, of each caption others are not
        Image.new("RGB", (16, 16), (number, 0, 9)).save(tmp_path / "set" / f"{number}.png")
        (tmp_path / "set" / f"{number}.txt").write_text(caption)
    texts = ["Noto: red apple", "twemoji: green house", "noto: red house"]
    asked = [word for text in texts for word in ("-t", text)]
    sheet = ("--labelled", "--trained-on", tmp_path / "set", "--seed", 5, "-n", 1)
    told = sample(*asked, *sheet, "-o", tmp_path / "told.png")
    wanted = ["trained on", "never seen together", "concept never seen"]
    assert told["trained_on"] == wanted
    drawn = zoo.load(folder).condition(text=texts).sample(3, seed=5)
    labels = [f"{text}\n{each}" for text, each in zip(texts, wanted, strict=True)]
    np.testing.assert_array_equal(pixels(tmp_path / "told.png"), np.array(of_texts(drawn, labels)))


def test_a_text_has_a_probability_of_its_own(folder):
    def rows(*arguments):
        told = CliRunner().invoke(cli, [*map(str, ("logprob", folder, "--json", *arguments))])
        if isinstance(told.exception, RequestError):
            raise told.exception
        return json.loads(told.stdout)

    model = zoo.load(folder)
    nats = model.condition(text=list(TEXTS)).log_prob_of_request()
    found = rows("-t", TEXTS[0], "-t", TEXTS[1])
    assert [row["text"] for row in found] == list(TEXTS)
    assert [row["nats"] for row in found] == pytest.approx(nats.tolist(), rel=1e-5)
    assert {(row["kind"], row["over"]) for row in found} == {("exact", "text")}
    alone = model.condition(text=TEXTS[1]).log_prob_of_request()
    torch.testing.assert_close(alone[0], nats[1], rtol=1e-5, atol=1e-5)
    for arguments in ([], ["-t", "a", "picture.png"]):
        with pytest.raises(RequestError, match="whose own probability is asked"):
            rows(*arguments)
    with pytest.raises(RequestError, match=r"condition\(text=\.\.\.\)"):
        model.log_prob_of_request()
    with pytest.raises(Unsupported, match="none of what is asked for"):
        zoo.load(folder.parent / "bricks").log_prob_of_request()


def test_the_best_of_candidates_by_the_model_or_by_another(sample, folder, tmp_path):
    asked = ("-n", 2, "--seed", 1, "-t", TEXTS[0], "-t", TEXTS[1], "--best-of", 5)
    model = zoo.load(folder).condition(text=[TEXTS[0]] * 2 + [TEXTS[1]] * 2)
    best = model.sample(4, seed=1, best_of=5).uint8()
    for number, judge in enumerate(((), ("--rerank", "likelihood"), ("--rerank", folder))):
        out = tmp_path / f"{number}"
        sample(*asked, *judge, "-o", out)
        found = np.stack([pixels(file) for file in sorted(out.iterdir())])
        if number < 2:
            np.testing.assert_array_equal(found, best)
    scores = model.log_prob(zoo.Images.read(found)).nats.sum()
    plain = zoo.Images.read(model.sample(4, seed=1).uint8())
    assert scores > model.log_prob(plain).nats.sum()


def test_previews_are_written_where_the_picture_will_be(sample, folder, tmp_path):
    growing = _previews(tmp_path / "growing.png", 1, 2)
    seen = []

    def watched(images, rows):
        growing["on_preview"](images, rows)
        seen.append(pixels(tmp_path / "growing.png"))

    model = zoo.load(folder).condition(text=TEXTS[0])
    model.sample(2, seed=2, **{**growing, "on_preview": watched})
    assert len(seen) == 3
    for rows, each in enumerate(seen, start=1):
        assert each.shape == (16, 34, 3)
        assert (each[4 * rows :, :16] == 128).all()
        assert (each[: 4 * rows, :16] != 128).any()
    asked = ("-n", 2, "-t", TEXTS[0], "--seed", 2, "--columns", 2)
    sample(*asked, "--preview", 1, "-o", tmp_path / "grown.png")
    sample(*asked, "-o", tmp_path / "plain.png")
    np.testing.assert_array_equal(pixels(tmp_path / "grown.png"), pixels(tmp_path / "plain.png"))


def test_a_text_by_the_folder(sample, folder, tmp_path):
    asked = ("-t", TEXTS[0], "--seed", 3, "--batch", 2, "-o", tmp_path / "many")
    assert sample(*asked, "-n", 3)["count"] == 3
    plan = json.loads((tmp_path / "many" / "samples.json").read_text())
    assert plan["request"] == {"text": TEXTS[0]}
    with pytest.raises(RequestError, match="holds other samples: request was"):
        sample("-t", TEXTS[1], *asked[2:])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-t", "a", "-c", "text=b"], "given twice: by -t and by -c"),
        (["-t", "ж"], "ж"),
        (["-t", TEXTS[0], "--rerank", "likelihood"], "give best_of, how many"),
        (["-t", TEXTS[0], "--preview", 1, "-o", "folder"], "-o FILE.png, not folder"),
        (["-t", "a", "-t", "b", "--batch", 2, "--seed", 0, "-o", "f"], "one text into a folder"),
        (["-t", "a", "--batch", 2, "--preview", 1], "leave out --batch"),
        (["--labelled", "-o", "a.png"], "-t TEXT -o FILE.png"),
        (["-t", "a", "--trained-on", "icons", "-o", "a.png"], "--labelled -t TEXT"),
    ],
)
def test_what_is_asked_wrongly(sample, arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=told):
        sample(*arguments)


def test_a_model_without_text_says_so(folder, tmp_path):
    arguments = ["sample", folder.parent / "bricks", "-t", "apple", "-o", tmp_path / "x.png"]
    told = CliRunner().invoke(cli, [*map(str, arguments)])
    assert isinstance(told.exception, Unsupported)
    assert "does not give condition" in str(told.exception)


def test_the_demo_draws_prompts(folder):
    section = asked(str(folder), TEXTS)
    assert [(row.prompt, row.count) for row in section.rows] == [(text, EACH) for text in TEXTS]
    model = zoo.load(folder).condition(text=TEXTS[1])
    drawn = zoo.load(folder).condition(text=[text for text in TEXTS for _ in range(EACH)])
    images = drawn.sample(2 * EACH, seed=0)
    wanted = model.log_prob(images[EACH:]).nats.mean() / 16
    assert section.rows[1].log_p == pytest.approx(float(wanted), rel=1e-4)
