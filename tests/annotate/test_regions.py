"""Regions of colour, skeletons, and the one door to all annotators."""

import pytest
import torch

from zoo.annotate import annotate
from zoo.annotate.colours import clustered, painted, recognised, voted
from zoo.annotate.hed import HED, STAGES
from zoo.annotate.pose import BONES, JOINTS, distance, pose
from zoo.errors import DataError, ImageError, RequestError

FLAG = torch.tensor([[1.0, 0, 0], [1, 1, 1], [0, 0, 1]])


def flag(noise=0.0):
    stripes = FLAG.t()[:, None].repeat_interleave(8, 2).expand(3, 12, 24).double()
    generator = torch.Generator().manual_seed(0)
    return (stripes + noise * torch.rand(3, 12, 24, generator=generator)).clamp(0, 1)[None]


def test_flat_regions_are_found_exactly_and_in_no_other_order_twice():
    labels, colours = clustered(flag(), colours=3)
    assert torch.equal(painted(labels, colours), flag())
    assert [len(each.unique()) for each in labels[0].split(8, dim=1)] == [1, 1, 1]
    again = clustered(torch.cat([flag(0.2), flag()]), colours=3)
    torch.testing.assert_close(again[0][1], labels[0])  # of its own pixels alone
    rows = torch.sort(again[1][0].sum(1)).values
    torch.testing.assert_close(
        rows, torch.sort(flag(0.2).view(3, 12, 3, 8).mean((1, 3)).sum(0)).values
    )


def test_more_clusters_than_colours_leave_the_rest_empty():
    labels, colours = clustered(flag(), colours=5)
    assert colours.shape == (1, 5, 3)
    assert torch.equal(painted(labels, colours), flag())


def test_a_picture_is_read_by_anothers_colours():
    labels, colours = clustered(flag(), colours=3)
    assert torch.equal(recognised(flag(0.3), colours), labels)
    single = labels.clone()
    single[0, 5, 4] = labels[0, 5, 20]
    assert torch.equal(voted(single, 3), labels)


def test_a_bone_is_what_is_near_its_line():
    grid = torch.stack(torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="xy"), 2)
    a, b = torch.tensor([2.0, 4.0]), torch.tensor([6.0, 4.0])
    away = distance(grid, a, b)
    assert away[4, 2:7].eq(0).all()
    assert away[4, 8] == 2.0
    torch.testing.assert_close(away[1, 5], torch.tensor(3.0))
    torch.testing.assert_close(away[1, 0], torch.tensor(13.0).sqrt())


def test_a_skeleton_has_the_bones_whose_joints_are_seen():
    joints = torch.zeros(1, len(JOINTS), 3)
    joints[0, 1] = torch.tensor([0.25, 0.5, 1.0])
    joints[0, 2] = torch.tensor([0.75, 0.5, 1.0])
    drawn = pose(joints, (40, 80), width=4)[0]
    inked = drawn.amax(0) > 0
    assert inked[:, 24:56].sum(0).eq(4).all()
    assert inked.any(1).nonzero().ravel().tolist() == [18, 19, 20, 21]
    assert drawn[:, 20, 40].tolist() == pytest.approx([0.6, 0.0, 0.0])  # the first bone is red
    assert max(max(bone) for bone in BONES) == len(JOINTS) - 1
    assert not pose(joints * 0, (8, 8)).any()
    with pytest.raises(RequestError, match=r"must be \(people, 18, 2 or 3\).*got \(1, 17, 3\)"):
        pose(joints[:, :17], (8, 8))
    with pytest.raises(RequestError, match="shares of the picture"):
        pose(joints * 50, (8, 8))


def test_hed_is_its_formula():
    torch.manual_seed(0)
    net = HED()
    assert sum(each.numel() for each in net.parameters()) == 14_716_171
    with torch.no_grad():
        for side in net.sides:
            side.weight.zero_()
            side.bias.fill_(2.0)
        net.fuse.weight.fill_(1 / len(STAGES))
        net.fuse.bias.zero_()
        found = net(torch.rand(1, 3, 17, 21))
    assert found.shape == (1, 1, 17, 21)
    torch.testing.assert_close(found, torch.full_like(found, 1 / (1 + 2.718281828**-2)))


def test_every_kind_is_a_picture_of_the_zoo_and_others_are_errors():
    images = (flag() * 2 - 1).float()
    for kind, channels in (("edges", 1), ("sketch", 1), ("semantic", 3)):
        hint = annotate(kind, images).tensor
        assert hint.shape == (1, channels, 12, 24)
        assert -1 <= hint.min() <= hint.max() <= 1
    assert annotate("pose", torch.zeros(0, 18, 2), size=(8, 8)).tensor.max() == -1
    with pytest.raises(RequestError, match="Did you mean 'edges'"):
        annotate("edge", images)
    with pytest.raises(RequestError, match="unexpected keyword argument 'colour'"):
        annotate("semantic", images, colour=3)
    with pytest.raises(ImageError):
        annotate("edges", images * 3)
    with pytest.raises(DataError, match="zoo data build hed"):
        annotate("hed", images)
