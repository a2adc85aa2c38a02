"""Keeping to a hint: F1 of edges with a tolerance, IoU of regions, and a ControlNet beside its base."""

from dataclasses import replace

import pytest
import torch

from zoo.card import Training
from zoo.errors import Unsupported
from zoo.evaluate import control_fidelity, edge_f1, mean_iou
from zoo.evaluate.control import Kept, trained_with
from zoo.testing import Subject

NET = {
    "kind": "unet", "channels": 3, "outputs": 3, "widths": [8], "blocks": 1, "residual": {"groups": 4},
}  # fmt: skip


def line(column, size=12):
    edges = torch.zeros(1, 1, size, size)
    edges[..., column] = 1
    return edges


def controlnet():
    base = Subject(
        "diffusion", {"image": [3, 16, 16], "net": NET, "process": {"schedule": "cosine", "steps": 4}},
        image=(3, 16, 16), options={"steps": 2},
    ).model  # fmt: skip
    return Subject(
        "controlnet", {"kind": "edges", "hint": 1, "hint_widths": [4]}, image=(3, 16, 16), parts={"base": base},
    ).model  # fmt: skip


def test_f1_of_lines_is_whether_they_are_near():
    for apart, want in ((0, 1.0), (2, 1.0), (3, 0.0)):
        assert edge_f1(line(4), line(4 + apart), tolerance=2).item() == want
    two = line(2) + line(8)
    assert edge_f1(two, line(2), 1).item() == pytest.approx(2 * 1 * 0.5 / 1.5)  # half is missed
    assert edge_f1(line(2), two, 1).item() == pytest.approx(2 * 1 * 0.5 / 1.5)  # half is too much
    none = torch.zeros(1, 1, 12, 12)
    assert [edge_f1(*pair).item() for pair in ((none, none), (none, two), (two, none))] == [1, 0, 0]


def test_iou_is_the_mean_over_the_hints_labels():
    hint = torch.tensor([[[0, 0, 1, 1]]])
    drawn = torch.tensor([[[0, 1, 1, 2]]])
    assert mean_iou(hint, hint, 3).item() == 1
    assert mean_iou(hint, drawn, 3).item() == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_a_picture_keeps_to_its_own_hint_wholly():
    image = torch.full((1, 3, 24, 24), 0.9)
    image[:, :2, 6:14, 8:20] = -0.7
    for kind in ("edges", "semantic"):
        kept = Kept(kind, **({"colours": 2} if kind == "semantic" else {}))
        hints = kept.hints(image)
        assert kept.scores(hints, image) == [1.0]
        assert kept.scores(hints, -image.flip(2, 3))[0] < 0.9
    with pytest.raises(Unsupported, match="no measure of keeping to pose"):
        Kept("pose")


def test_a_controlnet_is_measured_beside_its_base(tmp_path):
    control = controlnet()
    data = (torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255).byte()
    sheet = tmp_path / "sheets" / "control.png"
    found = control_fidelity(control, data, 3, 2, sheet=sheet, tolerance=1)
    assert [each.name for each in found] == ["edge F1", "edge F1 without control"]
    assert found[0].value == found[1].value  # not trained yet
    assert found[0].count == 3
    assert found[0].settings["tolerance"] == "1 px"
    from zoo.images import Images

    assert Images.read(sheet, 3).shape[3] > 4 * 16
    with pytest.raises(Unsupported, match="of ControlNets and their base"):
        control_fidelity(control.parts["base"], data)


def test_hints_are_made_as_in_training_where_the_card_says_how(tmp_path):
    recipe = '[model]\nfamily = "controlnet"\n[objective]\nannotate = { low = 0.2, high = 0.5 }\n'
    (tmp_path / "recipe.toml").write_text(recipe)
    model = controlnet()
    assert trained_with(model) == {}
    card = replace(model.card, training=Training(recipe="recipe.toml"))
    assert trained_with(replace(model, card=card, folder=tmp_path)) == {"low": 0.2, "high": 0.5}
