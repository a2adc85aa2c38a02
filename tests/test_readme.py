"""The README is run: its Python, its quick commands, its table of models; `tests/test_pages.py` does the rest.

`python tests/test_readme.py` writes the table anew.
"""

import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
from pages import ROOT, blocks
from PIL import Image

import zoo
from zoo import hub

README = ROOT / "README.md"
BEGIN, END = "<!-- models -->\n", "<!-- /models -->"


def commands(language):
    return [line for block in blocks(README, language) for line in block.lines]


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
    code = "\n".join(block.text for block in blocks(README, "python"))
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


def test_continuous_integration_runs_the_two_commands():
    script = (ROOT / ".ci" / "run").read_text()
    installing = [line for line in commands("sh") if line.startswith("pip install")]
    assert len(installing) == 2
    for line in installing:
        assert f'\nalone "{line}"\n' in script


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
