"""Strangers' plugins that are broken, really installed with pip: each is named, and harms no other."""

import json

import pytest
from strangers import commands, install, run

REPORT = """
import json
from importlib.metadata import entry_points
from zoo import plugins
from zoo.card import Density
from zoo.errors import ZooError
from zoo.testing import Subject
from zoo.testing.report import tried
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
    found = tried(subject, f"family {name!r}")
    report[name] = {each.check: each.message for each in found if each.verdict == "mend"}
print(json.dumps(report))
"""
SOUND = "zoo-pixelgauss"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    home = tmp_path_factory.mktemp("strangers")
    return install(home / "venv", SOUND, "zoo-broken", "zoo-rival")


@pytest.fixture(scope="module")
def report(python):
    return json.loads(run([python, "-c", REPORT]))


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("misspelt", ["zoo-broken 0.3", "'smaple'", "Did you mean 'sample'?"]),
        ("defaulted", ["zoo-broken 0.3", "encode", "`cond=None`"]),
        ("unimportable", ["zoo-broken 0.3", "a_module_that_does_not_exist"]),
        ("unmarked", ["zoo-broken 0.3", "sample is not marked", "@zoo.hookimpl"]),
        ("odd_argument", ["zoo-broken 0.3", "sample", "'steps'"]),
        ("empty", ["zoo-broken 0.3", "no build hook"]),
        ("raises", ["zoo-broken 0.3", "'raises'", "RuntimeError: no such chip"]),
        ("leaves", ["zoo-broken 0.3", "'leaves'", "SystemExit: this machine is too small"]),
        ("claimed", ["zoo-broken 0.3 and zoo-rival 2.0 both bring", "'claimed': uninstall one."]),
    ],
)
def test_a_plugin_that_cannot_be_registered_is_named(report, family, words):
    assert all(word in report[family] for word in words), report[family]


@pytest.mark.parametrize(
    ("family", "caught", "words"),
    [
        (
            "batch_leak",
            "one image does not change the latents of another",
            "latents of image 0 differ by",
        ),
        ("batch_leak", "one image does not change the log prob of another", "image 0 differ by"),
        (
            "density_a_pixel",
            "log prob is one number an image",
            "zoo-broken 0.3: log_prob of subject@1.0.0 must answer one number of nats an image, (3,)",
        ),
        ("global_generator", "the same seed gives the same samples", "two samples of one seed"),
        ("global_generator", "hooks leave the global generator alone", "draw from `generator`"),
        (
            "nothing",
            "samples have the shape of the card",
            "zoo-broken 0.3: sample of the family 'nothing' answered None.",
        ),
        (
            "one_noise",
            "a sample depends on its seed and place alone",
            "image 0 of 3 and image 0 of",
        ),
        (
            "wrong_shape",
            "samples have the shape of the card",
            "zoo-broken 0.3: sample of subject@1.0.0 must answer float images (3, 3, H, W)",
        ),
        ("wrong_shape", "decoded images have the shape of the card", "zoo-broken 0.3: decode of"),
        ("half_a_batch", "latents have the shape and type of the card", "latents (3, 3x8x8); got"),
        ("half_a_batch", "log prob is one number an image", "zoo-broken 0.3: log_prob of"),
        ("half_a_batch", "decoded images have the shape of the card", "NaN or infinity"),
        ("stumbles", "latents have the shape and type of the card", "raised KeyError: 'channel'"),
    ],
)
def test_a_plugin_that_breaks_the_contract_is_caught(report, family, caught, words):
    assert words in report[family][caught]


def test_a_sound_plugin_passes_in_the_same_report(report):
    assert report["pixelgauss"] == {}


def test_commands_name_who_is_broken_and_go_on(python):
    asked = [
        ["plugins", "--json"],
        ["list"],
        ["plugins", "vq", "pixelgauss"],
        ["check", "slow"],
        ["check", "leaves"],
        ["check", "claimed"],
        ["check", "pixelgaus"],
    ]
    (code, rows), (listed, names), (sound, _), *checks = commands(python, *asked)
    assert (code, listed, sound) == (1, 0, 0)
    assert "vqgan-f16" in names
    rows = {row["name"]: row for row in json.loads(rows)}
    broken = {name for name, row in rows.items() if row["error"]}
    assert broken == {
        "misspelt", "defaulted", "unimportable", "unmarked", "odd_argument", "empty", "raises",
        "leaves", "claimed",
    }  # fmt: skip
    assert {rows[name]["distribution"] for name in broken - {"claimed"}} == {"zoo-broken"}
    slow, leaves, claimed, unknown = checks
    told = "zoo-broken 0.3, family 'slow': imports quickly and quietly: takes"
    assert told in slow[1]
    assert "draws from the global generator when it is imported: leave that to the hooks" in slow[1]
    assert "does not import: this machine is too small" in leaves[1]
    assert "both bring the family 'claimed': uninstall one" in claimed[1]
    assert [code for code, _ in (slow, leaves, claimed)] == [1, 1, 1]
    assert unknown[0] == 1
