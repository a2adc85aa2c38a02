"""The demo's sketches through the real command: small nets that are not trained, under the names of those that are."""

import json
from pathlib import Path

import latents
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from zoo import demo
from zoo.cli import cli
from zoo.demo import Missing, sketches
from zoo.demo.section import pictures
from zoo.hub import embedded
from zoo.testing import Subject

SIDES = (3, 128, 128)
CARDS = Path(__file__).parents[2] / "model_cards"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An embedded folder, empty; and the demo has no other section."""
    folder = tmp_path / "cards"
    folder.mkdir()
    assert sketches.sketched in demo.SECTIONS
    monkeypatch.setattr(demo, "SECTIONS", (sketches.sketched,))
    monkeypatch.setattr(embedded, "root", lambda: folder)
    return folder


def kept(folder, subject, name, **changes):
    """The subject's model with every weight drawn, saved under a name."""
    made, generator = subject.model, torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in made.net.parameters():
            each.normal_(0, 0.3, generator=generator)
    made.save(folder / name, name=name, hooks=subject.hooks, **changes)


def models(folder):
    """The three that the sketches need, for pictures of 128 px and latents of 32 px."""
    import zoo

    both = ("encode", "decode")
    whole = Subject(
        "autoencoder",
        latents.autoencoder().card.config,
        SIDES,
        (4, 32, 32),
        "continuous",
        hooks=both,
    )
    kept(folder, whole, "kl-f8")
    part = {"autoencoder": zoo.load(folder / "kl-f8")}
    config = latents.reading(image=SIDES, latent=(4, 32, 32))
    base = Subject(
        "ldm", config, SIDES, (4, 32, 32), "continuous", parts=part,
        hooks=("condition", *both, "sample"), options={"steps": 2},
    )  # fmt: skip
    kept(folder, base, "ldm-icons", parts={"autoencoder": "kl-f8@1.0.0"})
    part = {"base": zoo.load(folder / "ldm-icons")}
    config = {"kind": "edges", "hint": 1, "hint_widths": [4, 4, 4]}
    net = Subject("controlnet", config, SIDES, parts=part, hooks=("condition", "sample"))
    recorded = {**config, **net.model.net.recorded}
    kept(folder, net, "controlnet-edges", parts={"base": "ldm-icons@1.0.0"}, config=recorded)


def test_zoo_demo_makes_pictures_of_the_sketches_and_says_how_they_keep_to_them(package, tmp_path):
    models(package)
    out = tmp_path / "demo.png"
    ran = CliRunner().invoke(cli, ["demo", "--out", str(out), "--json"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    [section] = report["sections"]
    rows = section["rows"]
    assert [row["sketch"] for row in rows] == ["apple", "house"]
    assert {row["model"] for row in rows} == {"controlnet-edges@1.0.0"}
    assert all(row["count"] == sketches.EACH and row["seconds"] > 0 for row in rows)
    assert all(0 <= row[key] <= 1 for row in rows for key in ("edge_f1", "edge_f1_without"))
    assert report["hints"] == []
    with Image.open(out) as sheet:
        assert sheet.width > 4 * 256


def test_the_sheet_shows_hint_controlled_and_uncontrolled_side_by_side(package):
    models(package)
    section = sketches.sketched()
    names, files = pictures("sketch")
    assert set(names) == set(sketches.PROMPTS)
    sheet = section.sheet
    with Image.open(files[0]) as file:
        drawing = file.convert("RGB").resize((256, 256), Image.Resampling.NEAREST)
    top = next(
        y for y in range(sheet.height) if sheet.crop((10, y, 266, y + 256)).tobytes() == drawing.tobytes()
    )  # fmt: skip
    hint, controlled, free = (sheet.crop((x, top, x + 256, top + 256)) for x in (276, 542, 810))
    assert hint.getextrema() == ((0, 255),) * 3
    assert 0.9 < hint.histogram()[0] / 256**2 < 1  # thin strokes on black
    assert controlled.tobytes() != free.tobytes()


@pytest.mark.parametrize("there", [(), ("kl-f8",), ("kl-f8", "ldm-icons")])
def test_a_package_without_these_models_says_which_are_missing(package, there):
    for name in there:
        (package / name).mkdir()
        card = (CARDS / "vqgan-f16" / "README.md").read_text()
        (package / name / "README.md").write_text(card.replace("name: vqgan-f16", f"name: {name}"))
    found = sketches.sketched()
    assert isinstance(found, Missing)
    gone = sorted({*sketches.NEEDS} - {*there})
    assert f"{', '.join(gone)} do" in found.hint
    assert all(each not in found.hint.split(": ")[1] for each in there)
