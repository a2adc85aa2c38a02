"""The command `zoo`, as a shell runs it: what it prints, what it writes, how it leaves."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import zoo
from zoo.cli.terminal import size_text

ROOT = Path(zoo.__file__).parent.parent
PICTURES = ROOT / "zoo" / "demo_data"
ICONS = sorted(PICTURES.glob("icon-noto-*.webp"))
MODEL = "vqgan-f16"


def run(*arguments, code=0, cwd=None, **environment):
    """Run `zoo`; its stdout, or its stderr where it was to leave with another code than 0."""
    done = subprocess.run(
        [sys.executable, "-m", "zoo", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "ZOO_DEBUG": "", **environment},
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    if code:
        assert "Traceback" not in done.stderr
    return done.stderr if code else done.stdout


def in_json(*arguments, **environment):
    return json.loads(run(*arguments, "--json", **environment))


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """Two icons, encoded once by the command."""
    file = tmp_path_factory.mktemp("tokens") / "two.safetensors"
    assert "8x8 tokens each, 896 bits (112 bytes) a picture" in run(
        "encode", MODEL, *ICONS, "-o", file
    )
    return file


@pytest.fixture
def strangers(tmp_path, pixelgauss):
    """An environment in which a stranger's family is installed, and a model of it."""
    import torch

    from zoo.card import Card, Density
    from zoo.model import Model

    config = {"classes": 3, "shape": [3, 8, 8]}
    card = Card(
        name="gauss", family="pixelgauss", version="1.0.0", config=config, image=(3, 8, 8),
        latent=(3, 8, 8), latent_kind="continuous", license="mit",
        log_prob=Density("exact", "continuous pixels"),
        hooks=("condition", "encode", "decode", "sample", "log_prob"),
    )  # fmt: skip
    torch.manual_seed(0)
    net = pixelgauss.call("build", config=config, parts={})
    Model(card, net, pixelgauss).save(tmp_path / "models" / "gauss")
    installed = tmp_path / "site" / "zoo_pixelgauss-0.1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: zoo-pixelgauss\nVersion: 0.1\n"
    )
    (installed / "entry_points.txt").write_text("[zoo.families]\npixelgauss = zoo_pixelgauss\n")
    source = ROOT / "tests" / "third_party" / "zoo-pixelgauss"
    paths = [str(installed.parent), str(source), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "ZOO_PATH": str(tmp_path / "models"),
    }


def test_help_names_every_command():
    text = run("--help")
    names = (
        "list show encode decode sample logprob classify demo verify plugins train eval bench "
        "recommend convert data"
    )
    for name in names.split():
        assert f"\n  {name} " in text


def test_version():
    assert run("--version") == f"genzoo {zoo.__version__}\n"


def test_list_is_what_the_library_lists():
    rows = in_json("list")
    assert [row["name"] for row in rows] == zoo.list()
    assert MODEL in [row["name"] for row in rows]
    for row in rows:
        assert row["version"] == zoo.show(row["name"]).version
    lines = run("list").splitlines()
    assert lines[0].split() == ["name", "version", "family", "images", "latents", "size", "licence"]
    assert [line.split()[0] for line in lines[1:]] == zoo.list()


def test_list_filters():
    assert [row["name"] for row in in_json("list", "vqgan-f1*")] == [MODEL]
    assert in_json("list", "--family", "no-such-family") == []
    everything = zoo.list()
    assert [row["name"] for row in in_json("list", "--max-size", "1GB")] == everything
    size = zoo.show(MODEL).bytes
    assert MODEL not in [row["name"] for row in in_json("list", "--max-size", str(size - 1))]
    assert in_json("list", "--task", "no-such-task") == []


def test_list_without_a_match_names_the_nearest():
    message = run("list", "vqgan-f61", code=2)
    assert f"Did you mean '{MODEL}'?" in message


@pytest.mark.parametrize("text", ["3XB", "1.2.3MB", "-1", "many"])
def test_a_size_that_is_none(text):
    assert "write 500kB, 3.5MB, 4MiB or 1GB" in run("list", f"--max-size={text}", code=2)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (3_140_000, "3.14 MB"), (2 * 10**9, "2 GB")],
)
def test_sizes_for_people(count, text):
    assert size_text(count) == text


def test_show_is_the_card():
    card = zoo.show(MODEL)
    assert zoo.Card.parse(run("show", MODEL)) == zoo.Card.parse(card.text().rstrip() + "\n")
    shown = in_json("show", f"{MODEL}@{card.version}")
    assert shown["name"] == MODEL
    assert shown["files"]["model.safetensors"]["sha256"] == card.files["model.safetensors"].sha256


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lst"], "Did you mean 'list'?"),
        (["list", "--jsno"], "Did you mean '--json'?"),
        (["show", "vqgan-f17"], f"Did you mean '{MODEL}'?"),
        (["show", f"{MODEL}@0.0.99"], f"{MODEL} has no version '0.0.99'"),
        (["show", "./nowhere"], "nowhere does not exist"),
        (["plugins", "vqq"], "Did you mean 'vq'?"),
        (["data", "build", "icns"], "Did you mean 'icons'?"),
        (["data", "show", "mnist"], "zoo data build mnist"),
        (["sample", MODEL, "-O", "temperature"], "'temperature' is not KEY=VALUE"),
        (["encode", MODEL, "nowhere.png"], "nowhere.png: there is no such file"),
        (["encode", MODEL, "."], "no pictures in this folder"),
        (["encode", MODEL, ICONS[0], "--device", "warp"], "There is no device 'warp' here"),
        (["sample", MODEL], "The family 'vq' does not give sample"),
        (["logprob", MODEL, ICONS[0]], "The family 'vq' does not give log_prob"),
        (["encode", MODEL, ICONS[0], "-c", "text=a"], "The family 'vq' does not give condition"),
        (["encode", MODEL, ICONS[0], PICTURES / "photo-cat.webp"], "cannot be one batch"),
        (["encode", MODEL, ICONS[0], PICTURES / "photo-cat.webp", "--batch", 1], "not all of one size"),
        (["decode", PICTURES / "LICENCES.md"], "is not a file of latents"),
    ],
)  # fmt: skip
def test_what_is_asked_wrongly_leaves_with_2(arguments, told, tmp_path):
    message = run(*arguments, code=2, cwd=tmp_path)
    assert told in message


def test_a_traceback_for_those_who_ask():
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "show", "nothing"],
        capture_output=True,
        text=True,
        env={**os.environ, "ZOO_DEBUG": "1"},
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "UnknownModel" in done.stderr


def test_encode_writes_tokens_that_say_where_they_are_from(tokens):
    model = zoo.load(MODEL)
    written = load_file(tokens)["latents"]
    assert written.equal(model.encode(ICONS))
    with safe_open(tokens, "pt") as file:
        metadata = file.metadata()
    assert metadata["model"] == model.card.title
    assert metadata["weights"] == model.card.files["model.safetensors"].sha256
    assert json.loads(metadata["pictures"]) == [file.name for file in ICONS]


def test_decode_needs_only_the_file(tokens, tmp_path):
    assert in_json("decode", tokens, "-o", tmp_path / "back")["count"] == 2
    expected = zoo.load(MODEL).decode(load_file(tokens)["latents"]).uint8()
    for name, wanted in zip(("000.png", "001.png"), expected, strict=True):
        written = pixels(tmp_path / "back" / name).astype(int)
        assert abs(written - wanted).max() <= 1  # another process may add in another order


def test_decode_refuses_other_weights(tokens, tmp_path):
    with safe_open(tokens, "pt") as file:
        metadata = {**file.metadata(), "weights": "0" * 64}
    other = tmp_path / "other.safetensors"
    save_file(load_file(tokens), other, metadata)
    assert "was encoded with weights 000000000000" in run("decode", other, code=1)
    run("decode", other, "--model", MODEL)
    assert pixels(other.with_suffix(".png")).shape[:2] == (128, 128 * 2 + 2)


def test_sample_and_logprob_of_a_strangers_model(strangers, tmp_path):
    [row] = in_json("list", "gauss", **strangers)
    assert row["family"] == "pixelgauss"
    arguments = ("sample", "gauss", "-n", 5, "--seed", 1, "-O", "temperature=0.5", "-c", "label=2")
    assert in_json(*arguments, "-o", tmp_path / "five", **strangers)["count"] == 5
    run(*arguments, "-o", tmp_path / "again.png", "--columns", 5, **strangers)
    sheet = pixels(tmp_path / "again.png")
    third = pixels(tmp_path / "five" / "002.png")
    assert (sheet[:, 20:28] == third).all()
    rows = in_json("logprob", "gauss", tmp_path / "five", "-c", "label=2", **strangers)
    assert [Path(row["picture"]).name for row in rows] == [f"{i:03d}.png" for i in range(5)]
    assert {row["kind"] for row in rows} == {"exact"}
    others = in_json("logprob", "gauss", tmp_path / "five", "-c", "label=0", **strangers)
    assert sum(row["nats"] for row in rows) > sum(row["nats"] for row in others)
    told = run("sample", "gauss", "-O", "temprature=1", code=2, **strangers)
    assert "Did you mean 'temperature'?" in told


def test_classify_finds_the_label_that_a_strangers_model_drew(strangers, tmp_path):
    for label in range(3):
        arguments = ("sample", "gauss", "-n", 3, "--seed", 7, "-c", f"label={label}")
        run(*arguments, "-o", tmp_path / f"{label}", **strangers)
    folders = [tmp_path / f"{label}" for label in range(3)]
    rows = in_json("classify", *folders, "-m", "gauss", **strangers)
    assert [row["label"] for row in rows] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert {row["kind"] for row in rows} == {"exact"}
    assert "known to be a model of labelled" in run("classify", ICONS[0], "-m", MODEL, code=2)


def test_logprob_of_greys_under_a_model_of_black_and_white(tmp_path):
    grey = tmp_path / "grey.png"
    Image.fromarray(np.tile(np.arange(0, 252, 9, np.uint8), (28, 1))).save(grey)
    asked = ("logprob", "vae-mnist", grey)
    assert "grey.png has greys" in run(*asked, code=2)
    assert "--binarise" in run(*asked, code=2)
    [row] = in_json(*asked, "--binarise", "--seed", 3)
    drawn = zoo.data.binarise(zoo.Images.read(grey).tensor, zoo.rng.generator(zoo.rng.derive(3, 0)))
    wanted = zoo.load("vae-mnist").log_prob(drawn, seed=3)
    assert row["nats"] == pytest.approx(float(wanted.nats[0]), abs=1e-3)
    told = run("logprob", "realnvp-mnist", grey, "--binarise", code=2)
    assert f"{zoo.show('realnvp-mnist').title} is of 8-bit pixels" in told


def test_plugins_names_hooks_and_distributions(strangers):
    rows = {row["name"]: row for row in in_json("plugins", **strangers)}
    assert rows["vq"]["distribution"] == "genzoo"
    assert rows["vq"]["version"] == zoo.__version__
    assert {"build", "encode", "decode", "objectives", "adopt"} <= set(rows["vq"]["hooks"])
    assert rows["pixelgauss"]["distribution"] == "zoo-pixelgauss"
    assert rows["pixelgauss"]["version"] == "0.1"
    assert rows["pixelgauss"]["hooks"]["sample"] == ["net", "count", "cond", "options", "generator"]
    assert {row["kind"] for row in rows.values()} == {"family"}


def test_verify_passes_what_is_embedded_and_fails_a_changed_byte(tmp_path):
    rows = in_json("verify", "--load", MODEL)
    assert [(row["model"], row["error"]) for row in rows] == [(zoo.show(MODEL).title, None)]
    shutil.copytree(zoo.hub.resolve(MODEL).folder, tmp_path / "changed")
    weights = tmp_path / "changed" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    message = run("verify", tmp_path / "changed", code=1)
    assert str(weights) in message
    assert "sha256" in message


def test_convert_makes_a_strangers_checkpoint_a_model(tmp_path):
    case = ROOT / "tests" / "parity" / "cases" / "diffusers_vqmodel_amused"
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    shutil.copy(case / "config.json", theirs)
    shutil.copy(case / "diffusion_pytorch_model.safetensors", theirs)
    arguments = ("convert", theirs, "amused-tiny", "--license", "apache-2.0")
    made = in_json(*arguments)
    assert made["model"] == "amused-tiny@1.0.0"
    assert zoo.load("amused-tiny").card.license == "apache-2.0"
    assert "a version never changes" in run(*arguments, code=1)


def test_data_lists_what_can_be_built():
    rows = {row["name"]: row for row in in_json("data", "list")}
    assert {"icons", "cifar10", "mnist", "fashion-mnist", "photos"} <= set(rows)
    assert all(row["built"] == [] for row in rows.values())


def test_data_shows_a_folder(tmp_path):
    arguments = ("data", "show", PICTURES, "--split", "all", "--size", 32)
    facts = in_json(*arguments, "-o", tmp_path / "sheet.png", "-n", 12)
    assert facts["count"] == 14
    assert facts["shape"] == [3, 32, 32]
    assert pixels(tmp_path / "sheet.png").shape[:2] == (32, 12 * 34 - 2)


RECIPE = """
[model]
family = "vq"
[model.config]
quantizer = {kind = "vector", codes = 16, dim = 8}
[model.config.encoder]
kind = "compact"
channels = 3
patch = 4
widths = [32, 32]
blocks = [1, 1]
[model.config.decoder]
kind = "compact"
channels = 3
patch = 4
widths = [32, 32]
blocks = [1, 1]
fine = 16
latent = 8
[data]
name = "PICTURES"
size = 32
batch = 4
split = "all"
held_out = "all"
[train]
steps = 2
"""


def test_train_then_eval(tmp_path):
    recipe, out = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(RECIPE.replace("PICTURES", f"{PICTURES}"))
    made = in_json("train", recipe, "--out", out, "--name", "tiny")
    assert made == {"run": str(out), "model": str(out / "tiny")}
    card = zoo.show(out / "tiny")
    assert (card.latent, card.codes) == ((4, 4), 16)
    arguments = ("eval", out / "tiny", "--data", PICTURES, "--split", "all", "--count", 4)
    report = in_json(*arguments, "--metric", "psnr")
    assert report["metrics"][0]["count"] == 4
    assert 3 < report["metrics"][0]["value"] < 40
    assert "Did you mean 'psnr'?" in run(*arguments, "--metric", "pnsr", code=2)
    misspelt = tmp_path / "misspelt.toml"
    misspelt.write_text(recipe.read_text().replace("steps =", "stesp ="))
    assert "Did you mean 'steps'?" in run("train", misspelt, "--out", out, code=2)


def test_the_demo_shows_what_the_embedded_models_do(tmp_path):
    report = in_json("demo", "--out", tmp_path / "demo.png")
    sections = {tuple(each["rows"][0]): each["rows"] for each in report["sections"]}
    there = [rows for rows in sections.values() if "psnr" in rows[0]]
    rows = {row["picture"]: row for row in there[0]}
    assert len(rows) == 12
    assert rows["cat"]["tokens"] == 256
    icons = [row["psnr"] for row in rows.values() if row["size"] == "128x128"]
    assert sum(icons) / len(icons) > 18  # dB; a picture of one grey has about 8
    titles = [each["title"] for each in report["sections"]]
    assert any(each.startswith("Drawn") for each in titles)
    [archive] = [rows for rows in sections.values() if "bits_per_dim" in rows[0]]
    assert archive[0]["bytes"] < archive[1]["bytes"] * 0.8  # than PNG
    assert pixels(report["sheet"]).shape[1] > 4 * 256


def test_a_set_is_encoded_into_shards_once(tmp_path):
    folder = tmp_path / "icons"
    folder.mkdir()
    for icon in ICONS:
        shutil.copyfile(icon, folder / icon.name)
    asked = ["encode", MODEL, "--data", folder, "--split", "all", "--shards", tmp_path / "out"]
    assert f"{len(ICONS)} all pictures in {tmp_path / 'out'}, 8x8 tokens each" in run(*asked)
    about = in_json(*asked)
    assert about["tokenizer"]["weights"] == zoo.show(MODEL).files["model.safetensors"].sha256
    shown = in_json("data", "show", tmp_path / "out", "--split", "all")
    assert (shown["shape"], shown["tokenizer"]) == ([8, 8], zoo.show(MODEL).title)
    assert "--data SET and --shards OUT go together" in run(
        "encode", MODEL, "--flip", "--data", "x", code=2
    )
    assert "Give PICTURES to encode, or a set" in run("encode", MODEL, code=2)


def test_samples_by_the_batch_go_on_where_they_stopped(strangers, tmp_path):
    asked = ["sample", "gauss", "--seed", 1, "--batch", 4, "-o", tmp_path / "out"]
    run(*asked, "-n", 6, **strangers)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    assert len(kept) == 6
    (tmp_path / "out" / "000001.png").unlink()
    run(*asked, "-n", 10, **strangers)
    again = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    assert len(set(again.values())) == len(again) == 10
    assert {name: again[name] for name in kept} == kept
    other = ["sample", "gauss", "--seed", 2, "--batch", 4, "-o", tmp_path / "out"]
    assert "holds other samples: seed was 1, is 2" in run(*other, code=2, **strangers)
    assert "-o FOLDER --seed N" in run("sample", "gauss", "--batch", 4, code=2, **strangers)
