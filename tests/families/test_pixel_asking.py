"""Labels, given parts, sampling options and training of the pixel models; and published checkpoints."""

import math

import pytest
import torch

from zoo import rng
from zoo.errors import ForeignError, ImageError, RequestError
from zoo_pixel import asking, layouts, logistic, sampling, training
from zoo_pixel.net import Asked, pixel_model

BINARY = {
    "kind": "mosaic",
    "size": 6,
    "channels": 1,
    "levels": 2,
    "width": 8,
    "layers": "d",
    "classes": 3,
}
COLOUR = {
    "kind": "gated",
    "size": 4,
    "channels": 3,
    "levels": 256,
    "width": 8,
    "depth": 2,
    "kernel": 3,
}


def build(config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return pixel_model(config).double().eval()


def pictures(net, count=2):
    return net.pictures(
        torch.randint(net.alphabet, (count, net.length), generator=rng.generator(4))
    )


def quiet(steps, total=None, label=""):
    return steps


@torch.no_grad()
@pytest.mark.parametrize(("config", "rows"), [(BINARY, 4), (COLOUR, 1)], ids=["binary", "colour"])
def test_a_given_part_stays_and_the_rest_is_drawn_given_it(config, rows):
    net = build(config)
    given = pictures(net)
    cond = asking.asked(net, {"prefix": given, "rows": rows}, 2)
    drawn = sampling.sample(net, 2, cond, {}, rng.generator(0), quiet)
    assert torch.equal(drawn[:, :, :rows], given[:, :, :rows])
    assert not torch.equal(drawn, given)

    symbols, first = net.symbols(drawn), cond.prefix.shape[1]
    every = net.log_tables(symbols, None).gather(-1, symbols[..., None]).squeeze(-1)
    assert torch.allclose(net.log_prob(drawn, cond), every[:, first:].sum(1), rtol=1e-12)
    assert torch.equal(net.log_prob(drawn.flip(0), cond), torch.full((2,), -torch.inf).double())

    tables, walk = net.tables(symbols, cond), net.walk(2, cond)
    for t in range(net.length):
        assert (walk.probabilities() - tables[:, t]).abs().max() < 1e-12
        walk.push(symbols[:, t])


def test_one_entry_is_for_all_and_more_are_one_each():
    net = build(BINARY)
    assert asking.asked(net, {"label": 2}, 3).labels.tolist() == [2, 2, 2]
    assert asking.asked(net, {"label": [0, 1, 2]}, 3).labels.tolist() == [0, 1, 2]
    assert asking.asked(net, {"label": torch.tensor([0, 1])}, 2).labels.tolist() == [0, 1]
    assert asking.asked(net, {"prefix": pictures(net, 1), "rows": 2}, 3).prefix.shape == (3, 3)


@pytest.mark.parametrize(
    ("config", "request_", "said"),
    [
        (BINARY, {"label": 3}, r"0 \.\. 2"),
        (BINARY, {"label": 1.5}, r"0 \.\. 2"),
        (BINARY, {"label": [0, 1]}, "2 entries for 3"),
        (BINARY, {"labels": 1}, "Known: label, prefix, rows"),
        (BINARY, {"rows": 2}, "give prefix"),
        (BINARY, {"prefix": torch.ones(1, 1, 6, 6), "rows": 3}, "multiple of 2"),
        (BINARY, {"prefix": torch.ones(1, 1, 6, 6)}, "1 to 6"),
        (COLOUR, {"label": 0}, "without labels"),
    ],
)
def test_what_does_not_fit_is_refused(config, request_, said):
    with pytest.raises(RequestError, match=said):
        asking.asked(build(config), request_, 3)


def test_a_grey_picture_is_refused_where_there_is_black_and_white_alone():
    net = build(BINARY)
    with pytest.raises(ImageError, match=r"zoo\.data\.binarise"):
        net.log_prob(torch.zeros(1, 1, 6, 6).double(), None)
    with pytest.raises(ImageError, match=r"\(1, 6, 6\), got \(1, 4, 4\)"):
        net.log_prob(torch.ones(1, 1, 4, 4).double(), None)


def test_top_p_keeps_the_fewest_symbols_that_are_enough():
    p = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.1, 0.2, 0.3, 0.4]])
    kept = [sampling.narrowed(p.log(), top_p).isfinite().tolist() for top_p in (1.0, 0.85, 0.4)]
    assert kept[0] == [[True] * 4] * 2
    assert kept[1] == [[True, True, True, False], [False, True, True, True]]
    assert kept[2] == [[True, False, False, False], [False, False, False, True]]


@torch.no_grad()
def test_a_low_temperature_draws_the_likeliest_symbols():
    net = build(COLOUR)
    drawn = sampling.sample(net, 1, None, {"temperature": 1e-6}, rng.generator(0), quiet)
    symbols = net.symbols(drawn)
    assert torch.equal(net.log_tables(symbols, None).argmax(-1), symbols)
    for wrong in ({"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(RequestError, match="temperature must be above 0"):
            sampling.sample(net, 1, None, wrong, rng.generator(0), quiet)


def double(number):
    return torch.tensor(number, dtype=torch.float64)


def test_a_bin_of_the_logistic_has_the_mass_between_its_edges():
    levels = logistic.grid(torch.zeros(1).double())
    for mu, log_scale in ((0.1, -1.0), (-0.97, -4.0), (1.3, -2.0)):
        scale = math.exp(log_scale)
        edges = torch.sigmoid((levels[:-1] + 1 / 255 - mu) / scale)
        cdf = torch.cat([edges.new_zeros(1), edges, edges.new_ones(1)])
        mass = logistic.log_mass(levels, double(mu), double(log_scale)).exp()
        assert (mass - cdf.diff()).abs().max() < 1e-14
        assert abs(float(mass.sum()) - 1) < 1e-13
    far = logistic.log_mass(levels[:1], double(1.0), double(-7.0))
    assert far.item() == pytest.approx(-(2 - 1 / 255) * math.exp(7))


def test_the_channels_of_a_mixture_multiply_to_the_joint_probability():
    draw = torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64)  # noqa: E731
    found = logistic.Mixture(
        normal(5, 4).log_softmax(-1), normal(5, 3, 4), normal(5, 3, 4) - 2, normal(5, 3, 4)
    )
    levels = torch.randint(256, (5, 3), generator=draw)
    values = levels.double() / 127.5 - 1
    tables = logistic.log_tables(found, values)
    chained = tables.gather(-1, levels[..., None]).sum((1, 2))
    assert torch.allclose(chained, logistic.log_prob(values, found), rtol=1e-12)
    assert (tables.exp().sum(-1) - 1).abs().max() < 1e-12


@pytest.mark.parametrize("config", [BINARY, COLOUR], ids=["binary", "colour"])
def test_training_lowers_the_bits_and_counts_them_right(config):
    net = build(config).train()
    (goal,) = training.objectives(net, {})
    images = pictures(net, 4)
    batch = {"images": images, "labels": torch.tensor([0, 1, 2, 0])}
    cond = Asked(batch["labels"]) if net.inside.classes else None
    loss, metrics = goal.loss(batch, 0)
    nats = -net.log_prob(images, cond).mean().detach()
    assert float(metrics["nats"]) == pytest.approx(float(nats))
    loss = loss.detach()
    assert float(loss) == pytest.approx(float(nats) / (images[0].numel() * math.log(2)))
    optimizer = torch.optim.Adam(goal.parameters, lr=1e-2)
    for step in range(10):
        optimizer.zero_grad()
        goal.loss(batch, step)[0].backward()
        optimizer.step()
    assert float(goal.loss(batch, 10)[0].detach()) < float(loss) * 0.97
    with pytest.raises(RequestError, match="is empty"):
        training.objectives(net, {"weight": 1})


def test_classes_need_labels_to_train():
    (goal,) = training.objectives(build(BINARY), {})
    with pytest.raises(RequestError, match="no labels"):
        goal.loss({"images": torch.ones(2, 1, 6, 6).double()}, 0)


def test_published_names_are_taken_with_and_without_their_wrappers():
    net = build({"kind": "pixelcnn++", "size": 32, "width": 4, "blocks": 2, "mixtures": 3})
    ours = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    plain = {name.removeprefix("core.logits."): shape for name, shape in ours.items()}
    wrapped = {
        "module." + name.replace("weight_g", "parametrizations.weight.original0"): shape
        for name, shape in plain.items()
    }
    for keys in (plain, wrapped):
        adoption = layouts.adopt(keys, {"nr_resnet": 2})
        assert sorted(adoption.rename.values()) == sorted(ours)
        again = pixel_model(adoption.config).state_dict()
        assert {name: tuple(tensor.shape) for name, tensor in again.items()} == ours
    assert layouts.adopt({"encoder.weight": (1,)}, None) is None
    with pytest.raises(ForeignError, match="nr_filters is 160, the tensors say 4"):
        layouts.adopt(plain, {"nr_filters": 160})
