"""Sound strangers, all in one environment: each keeps its own tests, and what it brings is listed and checked.

A minimal family, a library's model wrapped, a watermark around everything, a plugin of old, and what `zoo new-plugin`
writes: a family with all hooks, one that only draws, and wrappers.
"""

import json

import pytest
from strangers import THIRD_PARTY, commands, install, own_tests

from zoo.new_plugin import HOOKS, new_plugin

BROUGHT = ("zoo-pixelgauss", "zoo-taesd", "zoo-watermark")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    home = tmp_path_factory.mktemp("new")
    return [
        new_plugin("whole", home / "zoo-whole"),
        new_plugin("only_draws", home / "zoo-only-draws", hooks=["sample"]),
        new_plugin("watching", home / "zoo-watching", wrappers=True),
    ]


@pytest.fixture(scope="module")
def python(written, tmp_path_factory):
    home = tmp_path_factory.mktemp("sound")
    return install(home / "venv", *BROUGHT, "zoo-frozen", *written)


def test_their_own_tests_pass(python, written):
    folders = [*(THIRD_PARTY / each for each in BROUGHT), *written]
    assert own_tests(python, *folders) >= 80


def test_a_library_is_wrapped_in_less_than_a_hundred_lines():
    assert len((THIRD_PARTY / "zoo-taesd" / "zoo_taesd.py").read_text().splitlines()) < 100


def test_what_they_bring_is_listed_and_sound(python, written):
    checked = ["check", written[0] / "models" / "whole-tiny", "watching"]
    (listed, rows), (fine, said) = commands(python, ["plugins", "--json"], checked)
    assert (listed, fine) == (0, 0)
    rows = json.loads(rows)
    assert all(row["error"] is None and not row["slow"] for row in rows)
    theirs = [row for row in rows if row["distribution"] != "genzoo"]
    assert {(row["name"], row["kind"]) for row in theirs} == {
        ("pixelgauss", "family"), ("taesd", "family"), ("frozen", "family"), ("whole", "family"),
        ("only_draws", "family"), ("watermark", "wrappers"), ("frozen", "wrappers"),
        ("watching", "wrappers"),
    }  # fmt: skip
    mine = {row["name"]: row for row in theirs if row["kind"] == "family"}
    assert mine["only_draws"]["distribution"] == "zoo-only-draws"
    assert set(mine["only_draws"]["hooks"]) == {"build", "sample"}
    assert set(mine["whole"]["hooks"]) == set(HOOKS)
    assert mine["pixelgauss"]["version"] == "0.1"
    assert "4 to do before publishing, 0 to mend" in said
    assert "whole-tiny@0.1.0: metrics stand beside their commands: zoo.metrics: none." in said
