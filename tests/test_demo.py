"""The demo's sections, each alone: what is on the way between two pictures, and models that are not there."""

import math

import torch
from PIL import Image

import zoo
from zoo.demo import Report, Section, lossless, samples
from zoo.demo.section import embedded, shown


def test_the_great_circle_keeps_lengths_and_goes_evenly():
    start, end = torch.zeros(2, 3), torch.zeros(2, 3)
    start[0, 0], end[1, 2] = 2.0, 2.0
    way = samples.great_circle(start, end, torch.linspace(0, 1, 5))
    torch.testing.assert_close(way[0], start)
    torch.testing.assert_close(way[-1], end)
    torch.testing.assert_close(way.flatten(1).norm(dim=1), torch.full((5,), 2.0))
    steps = torch.nn.functional.cosine_similarity(way[1:].flatten(1), way[:-1].flatten(1))
    torch.testing.assert_close(steps, torch.full((4,), math.cos(math.pi / 8)))
    same = samples.great_circle(start, start, torch.tensor([0.5]))
    torch.testing.assert_close(same[0], start)


def test_a_way_begins_and_ends_at_what_was_drawn():
    section = samples.between(("realnvp-mnist", "no-such-model"))
    assert isinstance(section, Section)
    assert [(row.model, row.count) for row in section.rows] == [
        (zoo.show("realnvp-mnist").title, samples.STEPS)
    ]
    ends = zoo.load("realnvp-mnist").sample(2, seed=samples.SEED).uint8()
    side, top = 4 * 28, section.sheet.height
    shown_at = [section.sheet.crop((10, y, 10 + side, y + side)) for y in range(top - side)]
    wanted = Image.fromarray(ends[0, :, :, 0]).convert("RGB").resize((side, side), Image.NEAREST)
    assert any(each.tobytes() == wanted.tobytes() for each in shown_at)


def test_models_that_are_not_there_are_not_shown(tmp_path, monkeypatch):
    assert samples.drawn(("no-such-model",)) is None
    assert samples.between(()) is None
    assert lossless.archived(("no-such-model",)) is None
    zoo.load("vae-mnist").save(tmp_path / "mine", name="mine")
    monkeypatch.setenv("ZOO_PATH", str(tmp_path))
    assert "mine" in zoo.list()
    assert shown(("mine", "vae-mnist")) == ["vae-mnist"]
    assert {each.card.family for each in embedded("vae")} == {"vae"}


def test_the_report_lists_every_section_and_hint(tmp_path):
    section = samples.drawn(("vae-fashion",))
    report = Report([section], tmp_path / "sheet.png", 1.0, ["do this"])
    assert section.table in report.text()
    assert "do this" in report.text()
    told = report.as_dict()
    assert told["sections"][0]["rows"][0]["count"] == samples.EACH
    assert told["hints"] == ["do this"]
