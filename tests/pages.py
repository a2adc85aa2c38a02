"""The pages for people: every README.md but the generated ones, and the fenced code on them.

A block is run by its language (see `tests/test_pages.py`). A comment in front of it, which no reader sees, may give
what the block takes for granted, or say why it is not run:

    <!-- given: images = torch.zeros(2, 1, 28, 28) -->
    <!-- not run: gan-cifar10 has no weights yet -->
"""

import re
from dataclasses import dataclass
from pathlib import Path

import click

from zoo.cli import cli

ROOT = Path(__file__).parent.parent
FENCE = re.compile(
    r"^(?:<!-- (?P<mark>given|not run): (?P<note>.*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """Fenced code: where it stands, what it is, and what was said of it."""

    page: Path
    line: int
    language: str
    text: str
    given: str = ""
    excuse: str = ""

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def lines(self):
        """Commands, a line each; what is continued by a backslash is one."""
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip() and line[0] != "#"]


def pages():
    """README.md here, and of every folder that is ours; strangers' have their own tests."""
    found = [ROOT / "README.md"]
    for folder in ("zoo", "plugins", "model_cards"):
        found += sorted((ROOT / folder).rglob("README.md"))
    return [each for each in found if "new_plugin" not in each.parts]


def blocks(page, language=None):
    text = page.read_text(encoding="utf-8")
    found = []
    for each in FENCE.finditer(text):
        line = text[: each.start("language")].count("\n") + 1
        note = {"given": "given", "not run": "excuse"}.get(each["mark"])
        notes = {note: each["note"]} if note else {}
        found.append(Block(page, line, each["language"], each["text"], **notes))
    assert 2 * len(found) == len(re.findall(r"^```", text, re.MULTILINE)), f"{page}: an odd fence"
    return [each for each in found if language in (None, each.language)]


def understand(words):
    """Parse a command of `zoo` without running it. Raises click.UsageError for what does not exist."""
    command = cli
    while isinstance(command, click.Group):
        with click.Context(command) as context:
            _, command, words = command.resolve_command(context, list(words))
    command.make_context("zoo", list(words))
