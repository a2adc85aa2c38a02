"""A stranger's plugin, really installed with pip, keeps the contract; broken ones are caught by
name."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
THIRD_PARTY = ROOT / "tests" / "third_party"

REPORT = """
import json
from importlib.metadata import entry_points
from zoo import plugins
from zoo.card import Density
from zoo.errors import ZooError
from zoo.testing import CHECKS, Subject
from unittest import SkipTest
report = {}
for each in entry_points(group="zoo.families"):
    name = each.name
    if each.dist.name == "genzoo":
        continue
    try:
        plugins.family(name)
    except ZooError as error:
        report[name] = str(error)
        continue
    subject = Subject(name, {"classes": 3, "shape": [3, 8, 8]}, (3, 8, 8), (3, 8, 8), "continuous",
                      log_prob=Density("exact", "continuous pixels"), request={"label": 1})
    report[name] = {}
    for check in CHECKS:
        try:
            check(subject)
        except SkipTest:
            pass
        except ZooError as error:
            report[name][check.__name__] = str(error)
print(json.dumps(report))
"""


def install(folder, *distributions):
    """A virtual environment that sees ours and has the distributions installed; its python."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    site.mkdir(parents=True, exist_ok=True)
    (site / "outer.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    sources = [shutil.copytree(THIRD_PARTY / each, folder / "src" / each) for each in distributions]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    options = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    run([*pip, *options, *map(str, sources)])
    return python


def run(command):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return install(tmp_path_factory.mktemp("strangers") / "venv", "zoo-pixelgauss", "zoo-broken")


@pytest.fixture(scope="module")
def report(python):
    return json.loads(run([str(python), "-c", REPORT]))


def test_an_installed_strangers_plugin_passes_the_contract(python):
    own = THIRD_PARTY / "zoo-pixelgauss" / "test_contract.py"
    said = run(
        [
            str(python),
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(own.parent),
            str(own),
        ]
    )
    assert " passed" in said
    assert "failed" not in said
    assert int(said.split(" passed")[0].split()[-1]) >= 20


def test_two_distributions_with_one_family_are_named(tmp_path):
    python = install(tmp_path / "venv", "zoo-pixelgauss", "zoo-rival")
    said = run([str(python), "-c", REPORT])
    message = json.loads(said)["pixelgauss"]
    assert (
        message
        == "zoo-pixelgauss 0.1 and zoo-rival 2.0 both bring the family 'pixelgauss': uninstall one."
    )


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("misspelt", ["zoo-broken 0.3", "'smaple'", "Did you mean 'sample'?"]),
        ("defaulted", ["zoo-broken 0.3", "encode", "`cond=None`"]),
        ("unimportable", ["zoo-broken 0.3", "a_module_that_does_not_exist"]),
        ("unmarked", ["zoo-broken 0.3", "sample is not marked", "@zoo.hookimpl"]),
        ("odd_argument", ["zoo-broken 0.3", "sample", "'steps'"]),
        ("empty", ["zoo-broken 0.3", "no build hook"]),
    ],
)
def test_a_plugin_that_cannot_be_registered_is_named(report, family, words):
    assert all(word in report[family] for word in words), report[family]


@pytest.mark.parametrize(
    ("family", "caught"),
    [
        ("batch_leak", ["one_image_does_not_change_the_latents_of_another"]),
        ("batch_leak", ["one_image_does_not_change_the_log_prob_of_another"]),
        ("density_a_pixel", ["log_prob_is_one_number_an_image"]),
        (
            "global_generator",
            ["the_same_seed_gives_the_same_samples", "hooks_leave_the_global_generator_alone"],
        ),
        ("nothing", ["samples_have_the_shape_of_the_card"]),
        ("one_noise", ["a_sample_depends_on_its_seed_and_place_alone"]),
        (
            "wrong_shape",
            ["samples_have_the_shape_of_the_card", "decoded_images_have_the_shape_of_the_card"],
        ),
    ],
)
def test_a_plugin_that_breaks_the_contract_is_caught(report, family, caught):
    for check in caught:
        assert check in report[family]


def test_a_plugin_that_answers_none_is_told_so(report):
    message = report["nothing"]["samples_have_the_shape_of_the_card"]
    assert message.startswith("zoo-broken 0.3: sample of the family 'nothing' answered None.")


def test_a_sound_plugin_passes_in_the_same_report(report):
    assert report["pixelgauss"] == {}
