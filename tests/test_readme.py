"""The README is run: its Python, its quick commands, its table of models.

`python tests/test_readme.py` writes the table anew.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import zoo
from zoo import hub
from zoo.cli import cli

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- models -->\n", "<!-- /models -->"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def commands(language):
    return [line for block in blocks(language) for line in block.splitlines() if line]


def table():
    """The table of the models that ship with the package."""
    return zoo.card_table(each.card for each in hub.cards() if each.source == "embedded")


def renewed(text):
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


@pytest.fixture
def apple(tmp_path):
    """A folder with the picture that the README names."""
    icon = ROOT / "zoo" / "demo_data" / "icon-twemoji-avocado.webp"
    Image.fromarray(pixels(icon)).save(tmp_path / "apple.png")
    return tmp_path


def test_the_table_is_made_from_the_cards():
    text = README.read_text()
    assert text == renewed(text), "run: python tests/test_readme.py"


def test_python_runs(apple):
    code = "\n".join(blocks("python"))
    done = subprocess.run([sys.executable, "-c", code], cwd=apple, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert pixels(apple / "back.png").shape[:2] == (128, 128)


def test_quick_commands_run(apple):
    lines = [line for line in commands("sh") if line.startswith("zoo ")]
    assert len(lines) > 5
    for line in lines:
        words = [sys.executable, "-m", *shlex.split(line)]
        done = subprocess.run(words, cwd=apple, capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, (line, done.stderr)
        assert done.stdout.strip(), line
    assert pixels(apple / "again.png").shape[:2] == (128, 128)


@pytest.mark.parametrize("line", commands("console"))
def test_longer_commands_are_understood(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("last.ckpt", "digits.zoo"):
        (tmp_path / name).touch()
    shutil.copytree(ROOT / "model_cards", tmp_path / "model_cards")
    command, words = cli, shlex.split(line)[1:]
    while isinstance(command, click.Group):  # raises UsageError for what does not exist
        with click.Context(command) as context:
            _, command, words = command.resolve_command(context, words)
    command.make_context("zoo", words)


def test_continuous_integration_runs_the_two_commands():
    script = (ROOT / ".ci" / "run").read_text()
    installing = [line for line in commands("sh") if line.startswith("pip install")]
    assert len(installing) == 2
    for line in installing:
        assert f'\nalone "{line}"\n' in script


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
