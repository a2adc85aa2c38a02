"""Noisy classifiers: what trains them, what they refuse, and guided-diffusion's own as parts."""

from dataclasses import replace

import pytest
import torch

from zoo.errors import RequestError
from zoo.evaluate import evaluate
from zoo.images import to_uint8
from zoo.testing import Subject
from zoo_diffusion import classifier
from zoo_diffusion.recognising import Weights, moved, objectives

CONFIG = {
    "classes": 2,
    "net": {
        "channels": 1,
        "widths": [8, 8],
        "blocks": 1,
        "pool": "adaptive",
        "attention": {"middle": False},
        "residual": {"groups": 4},
    },
    "process": {"schedule": "cosine", "steps": 100},
}


def built(**changes):
    torch.manual_seed(0)
    return classifier.build(CONFIG | changes)


def stripes(count):
    """Pictures of rows (0) or of columns (1), 8 x 8, and their labels."""
    rows = torch.tensor([1.0, -1.0]).repeat(4)
    labels = torch.arange(count) % 2
    pictures = torch.stack([rows[:, None].expand(8, 8), rows.expand(8, 8)])[labels]
    return {"images": pictures[:, None].contiguous(), "labels": labels}


@pytest.mark.parametrize(
    "process", [CONFIG["process"], {"schedule": "edm", "prediction": "edm"}, {"schedule": "flow"}]
)
def test_training_tells_rows_from_columns_through_noise(process):
    net = built(process=process).train()
    objective = objectives(net, {"smoothing": 0.05})[0]
    optimizer = torch.optim.Adam(objective.parameters, lr=5e-3)
    batch, first = stripes(32), None
    for step in range(60):
        torch.manual_seed(step)
        value, terms = objective.loss(batch, step)
        first = value.item() if first is None else first
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert value.item() < 0.9 * first
    assert terms["accuracy"] > 0.6
    at = net.process.levels(torch.tensor([net.process.first]), batch["images"])
    with torch.no_grad():
        logits = net.eval()(batch["images"] * at.alpha * at.scale, at.time.expand(32))
    assert (logits.argmax(1) == batch["labels"]).float().mean() > 0.9


def test_accuracy_is_told_by_level_of_noise():
    net = built()
    objective = objectives(net.train(), {})[0]
    optimizer = torch.optim.Adam(objective.parameters, lr=1e-2)
    for step in range(40):
        torch.manual_seed(step)
        optimizer.zero_grad()
        objective.loss(stripes(32), step)[0].backward()
        optimizer.step()
    held = stripes(40)
    items = [
        {"image": to_uint8(image), "label": int(label)}
        for image, label in zip(held["images"], held["labels"], strict=True)
    ]
    model = replace(Subject("classifier", CONFIG, image=(1, 8, 8)).model, net=net.eval())
    found = evaluate(model, items, batch_size=16)
    levels = [net.process.level(t) for t in (0, 25, 50, 75)]
    assert [each.name for each in found] == [
        f"accuracy at sigma / alpha = {level.ratio:.2g}" for level in levels
    ]
    assert min(each.value for each in found[:3]) > 90
    wrong = [each | {"label": 1 - each["label"]} for each in items]
    others = evaluate(model, wrong, ["noisy-accuracy"], batch_size=16)
    assert [each.value for each in others] == pytest.approx([100 - each.value for each in found])
    with pytest.raises(RequestError, match="config has none"):
        built(process=None).guesses(held["images"], torch.Generator())


def test_moved_pictures_are_the_same_pictures_elsewhere():
    images = torch.arange(2 * 3 * 16.0).view(2, 3, 4, 4) + 1
    torch.manual_seed(0)
    wide = torch.nn.functional.pad(images, (2, 2, 2, 2))
    found = moved(images, 2)
    for picture, source in zip(found, wide, strict=True):
        places = [(i, j) for i in range(5) for j in range(5)]
        assert any(torch.equal(picture, source[:, i : i + 4, j : j + 4]) for i, j in places)
    many = moved(torch.ones(64, 1, 4, 4), 2).sum((1, 2, 3)).unique()
    assert len(many) > 3


@pytest.mark.parametrize(
    ("table", "said"),
    [({"smoothing": 1.5}, "smoothing is in"), ({"crops": 4}, "crops"), ({"crop": -1}, "crop 0 or")],
)
def test_an_objective_that_means_nothing_is_refused(table, said):
    with pytest.raises(RequestError, match=said):
        Weights.of(table)


def test_data_that_do_not_fit_are_refused():
    objective = objectives(built(), {})[0]
    with pytest.raises(RequestError, match="needs labels"):
        objective.loss({"images": stripes(2)["images"]}, 0)
    with pytest.raises(RequestError, match=r"2 classes \(0 \.\. 1\) and the data a label 7"):
        objective.loss(stripes(2) | {"labels": torch.tensor([0, 7])}, 0)


def test_a_config_that_means_nothing_is_refused():
    with pytest.raises(TypeError, match="not \\['sampler'\\]"):
        built(sampler="ddim")
    with pytest.raises(ValueError, match="classes is 3, and of the net 2"):
        built(classes=3, net=CONFIG["net"] | {"classes": 2})
    with pytest.raises(ValueError, match="unknown pool 'mean'"):
        built(net=CONFIG["net"] | {"pool": "mean"})
    with pytest.raises(ValueError, match="needs `size`"):
        built(net=CONFIG["net"] | {"pool": "attention"})
