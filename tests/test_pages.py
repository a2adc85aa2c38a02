"""Every block of code on every page is run, or says why not (see `tests/pages.py`).

python    run, the blocks of a page one after the other in one module; cards' samples are one each
sh        `zoo` commands, run and left with 0
console   `zoo` commands, understood and not run: they take longer, or change this machine
toml      read; tables of a recipe hold only keys that a recipe has
text, or no language: what a command prints
"""

import re
import shlex
import shutil
import sys
import tomllib
import types

import pytest
import torch
from click.testing import CliRunner
from pages import ROOT, blocks, pages, understand
from PIL import Image

from zoo.cli import cli
from zoo.train import recipe, table

OTHERS = {"pip", "pytest", "python", "accelerate", "torchrun", "git"}  # run elsewhere: .ci/run
RUN_BY = {ROOT / "README.md": "tests/test_readme.py"}
LANGUAGES = {"python", "sh", "console", "toml", "text", ""}
EVERY = [block for page in pages() for block in blocks(page)]


def those(*languages):
    chosen = [each for each in EVERY if each.language in languages and not each.excuse]
    return pytest.mark.parametrize("block", chosen, ids=str)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder to work in, with the embedded models and every picture that the text names."""
    monkeypatch.chdir(tmp_path)

    def lay(text):
        icon = Image.open(ROOT / "zoo" / "demo_data" / "icon-twemoji-avocado.webp").convert("RGB")
        for name in re.findall(r"[\w-]+\.png", text):
            if not (tmp_path / name).exists():
                icon.save(tmp_path / name)

    return lay


def test_every_block_is_of_a_known_language_and_every_excuse_says_something():
    assert len(EVERY) > 25
    for each in EVERY:
        assert each.language in LANGUAGES, f"{each}: {each.language} is run by nobody"
        assert not each.excuse or len(each.excuse.split()) > 3, f"{each}: why is it not run?"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_no_code_stands_where_nobody_runs_it(page):
    outside = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    code = re.findall(
        r"^ {4}(?:zoo |python |import |from \S+ import |.*\bzoo\.\w+\().*", outside, re.M
    )
    assert not code, "in a fence it would be run"


@pytest.mark.parametrize(
    "page",
    [
        each
        for each in pages()
        if each not in RUN_BY and (blocks(each, "python") or blocks(each, "sh"))
    ],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_a_page_runs(page, desk, monkeypatch):
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    vars(module)["torch"] = torch
    of_a_model = page.parent.parent == ROOT / "model_cards"
    for block in blocks(page):
        if block.excuse:
            continue
        text = re.sub(r"\.sample\(\d+", ".sample(1", block.text) if of_a_model else block.text
        desk(block.given + text)
        if block.language == "python":
            exec(block.given, vars(module))
            exec(compile("\n" * block.line + text, str(page), "exec"), vars(module))
        elif block.language == "sh":
            command(block)


def command(block):
    for line in block.lines:
        words = shlex.split(line, comments=True)
        assert words[0] in {"zoo", *OTHERS}, line
        if words[0] == "zoo":
            done = CliRunner().invoke(cli, words[1:])
            assert done.exit_code == 0, (str(block), line, done.output, done.exception)


@those("console")
def test_longer_commands_are_understood(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "model_cards", tmp_path / "model_cards")
    for line in block.lines:
        words = shlex.split(line, comments=True)
        assert words[0] in {"zoo", *OTHERS}, line
        for word in words:
            if word.endswith("/"):
                (tmp_path / word).mkdir(parents=True, exist_ok=True)
            elif "." in word and "/" not in word and not word.startswith("-"):
                (tmp_path / word).touch()
        if words[0] == "zoo":
            understand(words[1 : words.index(">")] if ">" in words else words[1:])


@those("toml")
def test_tables_are_read(block):
    read = tomllib.loads(block.text)
    assert read
    if not {"project", "build-system"} & set(read):
        model = {"family": "vae", **read.pop("model", {})}
        table.read(recipe.Recipe, {"model": model, **read})
