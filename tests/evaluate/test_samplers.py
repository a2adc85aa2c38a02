"""Samples by sampler and number of evaluations: what is counted, and how it is drawn."""

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.errors import RequestError, Unsupported
from zoo.evaluate.plots import INKS, Axis, Panel, plot
from zoo.evaluate.samplers import by_sampler
from zoo.testing import Subject

NET = {
    "kind": "unet", "channels": 1, "outputs": 1, "widths": [8], "blocks": 1, "residual": {"groups": 4},
    "classes": 2, "null": True,
}  # fmt: skip


@pytest.fixture
def model():
    config = {"image": [1, 8, 8], "net": NET, "classes": 2}
    config["process"] = {"schedule": "cosine", "steps": 20, "prediction": "v"}
    options = {"sampler": "ddpm", "variance": "posterior", "steps": 4}
    return Subject("diffusion", config, image=(1, 8, 8), options=options).model


def squares(pictures):
    return pictures[:, :, ::4, ::4].flatten(1).double()


def test_rows_say_what_was_asked_of_the_network(model, tmp_path):
    held = torch.randint(256, (8, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    rows, section = by_sampler(
        model, held, batch_size=4, names=("ddim", "heun"), steps=(3, 6), weights=(1.0, 2.0),
        called="noise-8/test", line="zoo eval it", path=tmp_path / "a.png", features=squares,
    )  # fmt: skip
    told = [(row.options["sampler"], row.options["steps"], row.calls, row.count) for row in rows]
    assert told[:4] == [("ddim", 3, 3, 8), ("ddim", 6, 6, 8), ("heun", 2, 3, 8), ("heun", 3, 5, 8)]
    assert [row.options.get("guidance") for row in rows[4:]] == [1.0, 2.0]
    assert told[4:] == [("ddpm", 4, 4, 8)] * 2
    assert "| heun | 3 | 5 |" in section
    assert "| guidance | 2 | 4 |" in section
    assert section.count("**") == 2
    assert "a.png" in section
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width > sheet.height
    again, _ = by_sampler(
        model, held, batch_size=4, names=("ddim",), steps=(3,), weights=(), path=tmp_path / "b.png",
        features=squares,
    )  # fmt: skip
    assert again[0].distance == rows[0].distance


def test_what_cannot_be_compared_is_told(model, blocks, tmp_path):
    held = torch.zeros(4, 1, 8, 8).byte()
    with pytest.raises(RequestError, match=r"sampler 'heum'.*mean 'heun'"):
        by_sampler(model, held, names=("heum",), path=tmp_path / "a.png", features=squares)
    with pytest.raises(Unsupported, match="no samplers to compare"):
        by_sampler(blocks, held, path=tmp_path / "a.png", features=squares)


def test_a_line_goes_through_its_points(tmp_path):
    axis = Axis("n", log=True)
    panel = Panel(
        axis, Axis("value"), {"one": [(1, 0.0), (10, 1.0), (100, 2.0)], "two": [(1, 2.0)]}
    )
    with Image.open(plot([panel, panel], tmp_path / "plot.png")) as sheet:
        pixels = np.asarray(sheet).astype(int)
    left = pixels[:, : pixels.shape[1] // 2]
    assert np.array_equal(left, pixels[:, pixels.shape[1] // 2 :])
    rows, columns = (np.abs(left - INKS[0]).sum(-1) < 30).nonzero()
    drawn = columns < 450  # without the legend
    slope = np.polyfit(columns[drawn], rows[drawn], 1)[0]
    assert slope == pytest.approx(
        -1, abs=0.1
    )  # evenly spaced in log n and value, from corner to corner
    assert axis.ticks(1, 100) == [1, 2, 5, 10, 20, 50, 100]
    assert Axis("value").ticks(0.0, 2.0) == pytest.approx([0, 0.5, 1, 1.5, 2])
    with pytest.raises(RequestError, match="n is drawn by its logarithm"):
        plot([Panel(axis, axis, {"one": [(0, 1)]})], tmp_path / "plot.png")
