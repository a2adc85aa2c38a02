"""Training a flow: the first batch sets it, buffers remember that, and the loss falls below the closed form."""

import math

import pytest
import torch

from zoo import rng
from zoo.errors import RequestError
from zoo.plugins import family
from zoo_flow.bijections import ActNorm
from zoo_flow.flat import FlatStage
from zoo_flow.net import Flow, levels_of
from zoo_flow.training import Settings, objectives

STAGES = [
    {"mask": "checkerboard", "squeeze": True, "couplings": 2, "width": 8, "place": True},
    {"mask": "mixed", "couplings": 2, "width": 8, "blocks": 1, "split": True},
]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def flow(**config):
    return Flow((1, 8, 8), STAGES, pixels={"kind": "histogram"}, **config)


def stripes(count):
    """Pictures that a coupling can know: rows alike, up to noise of a few levels."""
    row = torch.rand(count, 1, 1, 8).expand(-1, -1, 8, -1) * 200
    return ((row + 20 * torch.rand(count, 1, 8, 8)).round() / 127.5 - 1).clamp(-1, 1)


def test_the_first_batch_makes_every_activation_normal():
    norm = ActNorm((3, 4, 4)).train()
    x = torch.randn(64, 3, 4, 4) * torch.tensor([0.1, 1, 9]).view(3, 1, 1) + 5
    y, logdet = norm(x)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(3), atol=1e-2, rtol=0)
    want = -16 * x.std((0, 2, 3)).log().sum()
    torch.testing.assert_close(logdet, want.expand(64), atol=0.1, rtol=0)


def test_only_the_first_batch_in_training_sets_it_and_a_reloaded_net_knows():
    net = flow()
    net.eval().bound(levels_of(stripes(4)), torch.rand(4, 1, 8, 8), None)
    assert not any(bool(b.any()) for name, b in net.named_buffers() if name.endswith("ready"))
    net.train().bound(levels_of(stripes(32)), torch.rand(32, 1, 8, 8), None)
    ready = [b for name, b in net.named_buffers() if name.endswith("ready")]
    assert len(ready) == 5  # four ActNorms and the histogram
    assert all(bool(b) for b in ready)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    again = flow()
    again.load_state_dict(state)
    for each in (net, again):
        each.train().bound(levels_of(-stripes(32)), torch.rand(32, 1, 8, 8), None)
        for key, value in each.state_dict().items():
            assert torch.equal(value, state[key]), key


@pytest.mark.parametrize("kind", ["uniform", "variational"])
def test_the_loss_falls_under_what_independent_pixels_could_reach(kind):
    net = flow(dequantisation={"kind": kind, **({"width": 8} if kind == "variational" else {})})
    (goal,) = objectives(net, {})
    optimizer = torch.optim.AdamW(goal.parameters, lr=1e-2)
    losses = []
    for step in range(40):
        loss, metrics = goal.loss({"images": stripes(32)}, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert math.isfinite(sum(losses))
    assert float(metrics["bits_per_dim"]) == pytest.approx(losses[-1])
    v = levels_of(stripes(4000))
    share = torch.bincount(v.flatten(), minlength=256) / v.numel()
    alone = -float((share * share.clamp(min=1e-9).log2()).sum())  # 7.7 bits
    assert min(losses[-10:]) < alone - 1


def test_the_objective_works_without_gradients_in_evaluation_mode():
    net = flow(classes=3)
    (goal,) = objectives(net, {"unlabelled": 0.5})
    batch = {"images": stripes(6), "labels": torch.tensor([0, 1, 2, 0, 1, 2])}
    goal.loss(batch, 0)
    net.eval()
    with torch.no_grad():
        loss, _ = goal.loss(batch, 0)
        torch.manual_seed(0)
        drawn = goal.preview(batch)
    assert math.isfinite(float(loss))
    assert drawn.shape == (6, 1, 8, 8)


def test_settings_and_labels_that_cannot_be_are_refused():
    with pytest.raises(RequestError, match="unlabelled"):
        Settings.of({"unlabeled": 0.1})
    with pytest.raises(RequestError, match="in \\[0, 1\\]"):
        Settings.of({"unlabelled": 2.0})
    (goal,) = objectives(flow(classes=3), {})
    with pytest.raises(RequestError, match="no labels"):
        goal.loss({"images": stripes(2)}, 0)
    hooks = family("flow")
    for net, request, message in (
        (flow(), {"label": 1}, "without labels"),
        (flow(classes=3), {"label": 3}, r"0 \.\. 2"),
        (flow(classes=3), {"label": [0, 1]}, "2 entries for 3"),
        (flow(classes=3), {"label": 0.5}, "whole number"),
        (flow(), {"draws": 0}, "at least one"),
    ):
        with pytest.raises(RequestError, match=message):
            hooks.call("condition", net=net, request=request, batch=3)


def test_more_draws_tighten_the_bound():
    net, hooks = flow().eval(), family("flow")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        images = stripes(16)
        nats = {}
        for draws in (1, 32):
            cond = hooks.call("condition", net=net, request={"draws": draws}, batch=16)
            generator = rng.generator(1)
            nats[draws] = hooks.call(
                "log_prob", net=net, images=images, cond=cond, generator=generator
            )
    assert float(nats[32].mean()) > float(nats[1].mean())


def test_temperature_zero_is_the_middle_and_labels_change_the_density():
    net, hooks = flow(classes=3).eval(), family("flow")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        options = {"temperature": 0.0}
        drawn = [
            hooks.call(
                "sample", net=net, count=2, cond=None, options=options,
                generator=rng.generator(seed), progress=lambda each, *_: each,
            )
            for seed in (0, 1)
        ]  # fmt: skip
        assert torch.equal(drawn[0], drawn[1])
        nats = []
        for label in (0, 1):
            cond = hooks.call("condition", net=net, request={"label": label}, batch=3)
            nats.append(
                hooks.call(
                    "log_prob", net=net, images=stripes(3), cond=cond, generator=rng.generator(0)
                )
            )
    assert not torch.equal(nats[0], nats[1])


def test_the_fast_coupling_of_vectors_has_the_gradient_of_the_plain_one():
    stage = FlatStage((1, 2, 4), 3, [5]).double()
    with torch.no_grad():
        for parameter in stage.parameters():
            parameter.copy_(torch.randn_like(parameter))
    x = torch.randn(3, 1, 2, 4, dtype=torch.float64, requires_grad=True)

    def plain(x):
        parts, total = stage.halves(x), 0
        for index, net in enumerate(stage.nets):
            raw, shift = net(parts[index % 2]).chunk(2, dim=1)
            s = raw / (1 + raw.abs() / math.log(1000))
            parts[1 - index % 2] = parts[1 - index % 2] * s.exp() + shift
            total = total + s.sum(1)
        return torch.stack(parts, -1).view(x.shape), total

    given = [x, *stage.parameters()]
    weight = torch.randn(3, 1, 2, 4, dtype=torch.float64)
    found = []
    for z, logdet in (stage(x)[::2], plain(x)):
        found.append(torch.autograd.grad((z * weight).sum() + logdet.square().sum(), given))
    for mine, want in zip(*found, strict=True):
        torch.testing.assert_close(mine, want)
    with torch.no_grad():
        torch.testing.assert_close(stage(x)[0], plain(x)[0])
        torch.testing.assert_close(stage.inverse(stage(x)[0]), x.detach())
