"""`zoo recommend`: every situation has an answer, every answer stands on what is here.

`python tests/test_recommend.py` writes the tables of zoo/advice/README.md anew.
"""

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import zoo
from zoo import hub
from zoo.advice import FAMILIES, QUESTIONS, RULES, WANTS, recommend
from zoo.advice.choosing import answer as answered
from zoo.advice.guide import renewed
from zoo.advice.situation import amount, situation, wanted
from zoo.card import Card, Density, File
from zoo.cli import cli
from zoo.errors import RequestError
from zoo.plugins import families
from zoo.train.recipe import load_recipe, parse

GUIDE = Path(zoo.__file__).parent / "advice" / "README.md"
SITUATIONS = [
    {"pretrained": fits, "data": data, "compute": compute, "resolution": side, "wants": wants}
    for fits, data, compute, side, count in itertools.product(
        (True, False), ("little", "much"), ("little", "much"), (32, 256), range(3)
    )
    for wants in itertools.combinations(WANTS, count)
]
RECIPE = """
[model]
family = "pixelgauss"
[model.config]
classes = 3
shape = [1, 28, 28]
[data]
name = "mnist"
batch = 32
[optimizer]
lr = 0.002
"""


def model(folder, name, family, side=28, **more):
    """Write a card, with a recipe and without weights, into a folder of ZOO_PATH."""
    place = folder / name
    place.mkdir(parents=True)
    (place / "recipe.toml").write_text(RECIPE)
    fields = {
        "name": name, "family": family, "version": "1.0.0", "config": {"classes": 3},
        "image": (1, side, side), "license": "mit", "hooks": ("sample", "log_prob"),
        "log_prob": Density("exact", "8-bit pixels"),
        "files": {"recipe.toml": File("0" * 64, 1)},
    }  # fmt: skip
    (place / "README.md").write_text(Card(**fields | more).text())


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Only these models are here: one a family, and two flows."""
    monkeypatch.setattr("zoo.hub.embedded.root", lambda: None)
    monkeypatch.setenv("ZOO_PATH", str(tmp_path / "models"))
    folder = tmp_path / "models"
    folder.mkdir()
    model(folder, "vae-x", "vae", log_prob=Density("lower bound", "binary pixels"))
    model(folder, "gan-x", "gan", 32, log_prob=None, hooks=("sample", "condition"))
    model(folder, "flow-x", "flow", 28)
    model(folder, "flow-y", "flow", 128)
    model(folder, "pixel-x", "pixel", 32, hooks=("condition", "sample", "log_prob"))
    model(
        folder, "vq-x", "vq", 32, log_prob=None, latent=(8, 8), latent_kind="tokens", codes=64,
        hooks=("encode", "decode"),
    )  # fmt: skip
    return folder


@pytest.fixture
def nothing(tmp_path, monkeypatch):
    """No model is here."""
    monkeypatch.setattr("zoo.hub.embedded.root", lambda: None)


def test_the_rules_of_the_field(shelf):
    """Each sentence of the field's rules, by what it answers."""
    little = {"data": "little", "compute": "little"}
    much = {"data": "much", "compute": "much"}
    tuned = recommend(pretrained=True, compute="little")
    assert (tuned.do, tuned.model) == ("finetune", "pixel-x@1.0.0")  # no diffusion here: AR
    assert "fine-tune a diffusion or an autoregressive model" in tuned.reason
    for more in ({"pretrained": True, "compute": "much"}, much):
        trained = recommend(**more)
        assert (trained.do, trained.family) == ("train", "pixel")
        assert "diffusion or autoregression" in trained.reason
    assert recommend(**little).family == "vae"
    assert any("64 px or less" in note for note in recommend(**little, resolution=256).notes)
    for resolution, family in ((32, "pixel"), (128, "flow")):
        dense = recommend(resolution=resolution, wants="likelihood")
        assert dense.family == family
        assert {family, *(each.family for each in dense.also)} >= {"flow", "pixel"}


@pytest.mark.parametrize(
    ("asked", "family"),
    [
        ({"wants": "compression"}, "pixel"),
        ({"wants": "likelihood, speed"}, "flow"),
        ({"wants": "tokens"}, "vq"),
        ({"wants": "speed", "data": "much"}, "gan"),
        ({"wants": "speed", "data": "little"}, "vae"),
        ({"wants": "control"}, "pixel"),
        ({"data": "much", "compute": "little"}, "vae"),
        ({"data": "little", "compute": "much"}, "pixel"),
    ],
)
def test_what_else_is_asked(shelf, asked, family):
    assert recommend(**asked).family == family


def test_families_that_are_not_here_yet_are_told_of(shelf):
    answer = recommend(pretrained=True, wants="control")
    assert (answer.family, answer.model, answer.do) == ("ldm", None, "finetune")
    assert "No model here answers this rule (families: ldm, diffusion)" in answer.notes[0]
    assert "ControlNet" in answer.reason
    first = recommend(pretrained=True)
    assert first.family == "pixel"
    assert any("ldm would come first; no model of it" in note for note in first.notes)


def test_with_no_model_at_all_it_says_so():
    for asked in SITUATIONS:
        answer = answered(situation(**asked), [], ())
        assert answer.model is None
        assert answer.recipe == ""
        assert any("No model here answers" in note for note in answer.notes)
        assert f"model: none of the family {answer.family} is here yet" in str(answer)


@pytest.mark.parametrize("place", ["shelf", "zoo"])
def test_every_situation_has_an_answer_that_holds(place, request):
    if place == "shelf":
        request.getfixturevalue("shelf")
    here, known = hub.cards(), families()
    cards = {each.card.title: each.card for each in here}
    for asked in SITUATIONS:
        answer = answered(situation(**asked), here, known)
        assert answer.stands_on
        assert answer.start
        assert answer.family not in [each.family for each in answer.also]
        if answer.model is None:
            continue
        card = cards[answer.model]
        assert card.family == answer.family
        wants = set(asked["wants"])
        if wants == {"likelihood"}:
            assert card.log_prob.kind == "exact"
        if wants == {"tokens"}:
            assert card.latent_kind == "tokens"
        if wants == {"speed"}:
            assert "sample" in card.hooks


def test_the_model_is_the_nearest_in_resolution(shelf):
    assert recommend(resolution=32, wants=["likelihood", "speed"]).model == "flow-x@1.0.0"
    far = recommend(resolution=256, wants=["likelihood", "speed"])
    assert far.model == "flow-y@1.0.0"
    assert any("a step costs about 4 times as much" in note for note in far.notes)


def test_a_card_that_lacks_what_is_wanted_is_passed_over(shelf):
    answer = recommend(wants="compression")
    card = zoo.show("pixel-x")
    (shelf / "pixel-x" / "README.md").write_text(
        replace(card, log_prob=Density("exact", "tokens")).text()
    )
    assert answer.model == "pixel-x@1.0.0"
    assert recommend(wants="compression").model == "vae-x@1.0.0"


def test_a_model_that_has_some_of_what_is_wanted_is_named_with_what_it_lacks(shelf):
    """As flows of 8-bit pixels: of dequantised pixels they are exact."""
    for name in ("flow-x", "flow-y"):
        card = replace(zoo.show(name), log_prob=Density("lower bound", "8-bit pixels"))
        (shelf / name / "README.md").write_text(card.text())
    answer = recommend(wants=["likelihood", "speed"])
    assert (answer.family, answer.model) == ("flow", "flow-x@1.0.0")
    assert any("its log_prob is lower bound over 8-bit pixels" in each for each in answer.notes)
    assert recommend(resolution=128, wants="likelihood").model == "pixel-x@1.0.0"


def test_control_is_by_what_a_model_can_be_asked_for(shelf):
    asked = {"wants": "control"}
    assert recommend(**asked).start[0] == "zoo sample pixel-x -n 16 -c label=0"
    card = replace(zoo.show("pixel-x"), config={"levels": 256})
    (shelf / "pixel-x" / "README.md").write_text(card.text())
    assert recommend(**asked).start[0] == "zoo sample gan-x -n 16 -c label=0"


def test_in_the_zoo_only_what_a_model_can_be_asked_for_is_asked():
    here, known = hub.cards(), families()
    cards = {each.card.name: each.card for each in here}
    lines = [
        line for asked in SITUATIONS for line in answered(situation(**asked), here, known).start
    ]
    for name, request in {
        (words[2], words[-1]) for words in map(shlex.split, lines) if "-c" in words
    }:
        assert cards[name].config["classes" if request.startswith("label=") else "text"]


def test_a_strangers_family_serves_by_what_its_card_says(nothing, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_PATH", str(tmp_path / "models"))
    model(tmp_path / "models", "theirs", "pixelgauss")
    answer = recommend(wants="likelihood")
    assert (answer.family, answer.model) == ("pixelgauss", "theirs@1.0.0")
    assert any("pixelgauss is no family of the rule" in note for note in answer.notes)
    assert recommend().model is None  # its card does not say that it is a VAE


def understood(line):
    """Whether the command line knows this command and its options; raises UsageError if not."""
    command, words = cli, shlex.split(line)[1:]
    while isinstance(command, click.Group):
        with click.Context(command) as context:
            _, command, words = command.resolve_command(context, words)
    command.make_context("zoo", words)


def test_every_command_exists(shelf, tmp_path, monkeypatch):
    """A recipe is written by one command before the next one reads it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").touch()
    here, known = hub.cards(), families()
    lines = {
        line for asked in SITUATIONS for line in answered(situation(**asked), here, known).start
    }
    assert any(line.startswith("zoo train mine.toml") for line in lines)
    for line in sorted(lines):
        understood(line)


def test_the_recipe_starts_on_my_pictures(shelf):
    fresh = parse(recommend(wants="likelihood", resolution=28).recipe)
    given = load_recipe(shelf / "pixel-x" / "recipe.toml")
    assert fresh == replace(given, data=replace(given.data, name="my-pictures/"))
    tuned = parse(recommend(pretrained=True).recipe)
    assert (tuned.model.from_, tuned.model.family) == ("pixel-x@1.0.0", "")
    assert tuned.optimizer.lr == pytest.approx(given.optimizer.lr / 10)
    assert tuned.data.name == "my-pictures/"


def test_a_trained_model_that_fits_is_used_as_it_is(shelf):
    answer = recommend(pretrained=True, wants="likelihood")
    assert answer.do == "use"
    assert [line.split()[1] for line in answer.start] == ["logprob", "eval"]


@pytest.mark.parametrize(
    ("what", "answer", "found"),
    [
        ("data", 99_999, "little"), ("data", "100,000", "much"), ("data", 1e6, "much"),
        ("compute", "99.5", "little"), ("compute", 100, "much"), ("data", "Much", "much"),
    ],
)  # fmt: skip
def test_where_much_begins(what, answer, found):
    assert amount(what, answer) == found


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"data": "litle"}, "Did you mean 'little'?"),
        ({"data": -1}, "a number of pictures"),
        ({"compute": "nan"}, "a number of GPU-hours"),
        ({"wants": "likelyhood"}, "Did you mean 'likelihood'?"),
        ({"resolution": 0}, "pixels a side"),
        ({"resolution": 32.5}, "pixels a side"),
    ],
)
def test_answers_that_are_none(asked, told):
    with pytest.raises(RequestError, match=re.escape(told)):
        recommend(**asked)


def test_what_nobody_said_is_told():
    answer = recommend(data=500)
    assert answer.situation.assumed == ("pretrained", "compute", "resolution", "wants")
    assert "taken for granted, as nobody said: pretrained, compute, resolution, wants" in str(
        answer
    )
    said = recommend(pretrained=False, data=1, compute=1, resolution=32, wants=())
    assert said.situation.assumed == ()
    assert "taken for granted" not in str(said)


def test_the_defaults_of_the_questions_are_those_of_the_library():
    read = {each.name: each.default for each in QUESTIONS}
    found = situation()
    assert read["pretrained"] == ("yes" if found.pretrained else "no")
    assert (read["data"], read["compute"]) == (found.data, found.compute)
    assert int(read["resolution"]) == found.resolution
    assert wanted(read["wants"]) == found.wants


def test_rules_name_known_families_and_papers():
    for rule in RULES:
        assert set(rule.families) <= set(FAMILIES)
        assert set(rule.wants) <= set(WANTS)
        assert all(re.search(r"\d{4}, arXiv:\d{4}\.\d{4,5}", each) for each in rule.stands_on)
    unwanted = [rule for rule in RULES if not rule.wants]
    for asked in (each for each in SITUATIONS if not each["wants"]):
        assert sum(rule.holds(situation(**asked)) for rule in unwanted) == 1
    used = [
        next(index for index, rule in enumerate(RULES) if rule.holds(situation(**asked)))
        for asked in SITUATIONS
    ]
    assert set(used) == set(range(len(RULES)))  # no rule that never answers


def test_the_zoos_own_families_are_in_the_guide():
    own = {path.name.removeprefix("zoo_") for path in (GUIDE.parents[2] / "plugins").glob("zoo_*")}
    assert own <= set(FAMILIES)
    assert set(families()) & set(FAMILIES)


def test_the_guide_is_made_from_the_rules():
    text = GUIDE.read_text()
    assert text == renewed(text), "run: python tests/test_recommend.py"


def test_the_guide_is_run(tmp_path, shelf):
    text = GUIDE.read_text()
    lines = re.search(r"```sh\n(.*?)```", text, re.DOTALL)[1].splitlines()
    for line in lines[1:]:
        understood(line.partition("#")[0])
    exec("import zoo\n" + re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], {})


def test_flags_and_json(shelf):
    arguments = ["recommend", "--data", "20000", "--for", "likelihood,speed", "--json"]
    answer = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    found = json.loads(answer.stdout)
    assert found == json.loads(
        json.dumps(recommend(data=20000, wants="likelihood speed").as_dict())
    )
    assert found["family"] == "flow"
    assert found["situation"]["wants"] == ["likelihood", "speed"]


def test_the_recipe_is_written(shelf, tmp_path):
    out = tmp_path / "mine.toml"
    answer = CliRunner().invoke(cli, ["recommend", "--pretrained", "-o", str(out)])
    assert out.read_text() == recommend(pretrained=True).recipe
    assert f"recipe -> {out}" in answer.stdout
    arguments = ["recommend", "--pretrained", "--for", "control", "-o", str(out)]
    with pytest.raises(RequestError, match="no model of the family ldm with one is here"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)


def command(*arguments, **options):
    line = [sys.executable, "-m", "zoo", "recommend", *arguments]
    return subprocess.run(line, capture_output=True, text=True, env={**os.environ}, **options)


def test_without_a_terminal_and_without_flags_it_names_the_flags():
    done = command(stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    for flag in ("--pretrained", "--data", "--compute", "--resolution", "--for"):
        assert flag in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_in_a_terminal_it_asks():
    import pty

    ours, theirs = pty.openpty()
    with os.fdopen(ours, "wb", buffering=0) as keyboard:
        keyboard.write(b"no\nmuch\nlots\nlittle\n\ntokens\n")  # "lots" is asked again
        done = command(stdin=theirs)
        os.close(theirs)
    assert done.returncode == 0, done.stderr
    for question in QUESTIONS:
        assert question.text in done.stderr
    assert "got 'lots'" in done.stderr
    assert done.stdout.startswith("vq (tokenizer): train one.")
    assert (
        "no pretrained model fits, much data, little compute, 32 px; wanted: tokens" in done.stdout
    )
    assert "taken for granted" not in done.stdout


def test_it_imports_no_torch():
    code = "import sys, zoo; zoo.recommend(); assert not {'torch', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    GUIDE.write_text(renewed(GUIDE.read_text()))
