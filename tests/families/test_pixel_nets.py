"""Every kind of net: causal, a probability, and the same numbers whichever way they are computed."""

import itertools

import pytest
import torch
from torch.autograd import grad

from zoo import rng
from zoo.nn.coding import Autoregressive
from zoo_pixel.net import Asked, pixel_model
from zoo_pixel.sampling import sample

CONFIGS = {
    "gated": {"kind": "gated", "size": 6, "channels": 3, "levels": 256, "width": 8, "depth": 3},
    "gated, binary": {"kind": "gated", "size": 6, "channels": 1, "levels": 2, "width": 8, "depth": 2,
                      "kernel": 3, "classes": 3},
    "pixelcnn++": {"kind": "pixelcnn++", "size": 8, "channels": 3, "width": 6, "blocks": 1, "mixtures": 2},
    "pixelcnn++, grey": {"kind": "pixelcnn++", "size": 8, "channels": 1, "width": 4, "blocks": 2, "mixtures": 2,
                         "classes": 3},
    "transformer": {"kind": "transformer", "size": 5, "channels": 3, "levels": 256, "width": 8, "depth": 2,
                    "heads": 2},
    "mosaic": {"kind": "mosaic", "size": 8, "channels": 3, "levels": 256, "width": 8, "layers": "dca", "hidden": 8,
               "copies": 3},
    "mosaic, binary": {"kind": "mosaic", "size": 8, "channels": 1, "levels": 2, "width": 8, "layers": "dca",
                       "classes": 3},
}  # fmt: skip


def build(config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return pixel_model(config).double().eval()


@pytest.fixture(scope="module", params=CONFIGS)
def net(request):
    return build(CONFIGS[request.param])


@pytest.fixture(scope="module")
def symbols(net):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return torch.randint(net.alphabet, (2, net.length))


def conditions(net):
    return [None, Asked(torch.tensor([0, 2]))] if net.inside.classes else [None]


def test_the_net_offers_what_a_lossless_coder_needs(net):
    assert isinstance(net, Autoregressive)


@torch.no_grad()
def test_symbols_and_pictures_are_inverse(net, symbols):
    images = net.pictures(symbols)
    assert images.aminmax().min >= -1
    assert images.aminmax().max <= 1
    assert torch.equal(net.symbols(images), symbols)
    assert torch.equal(net.symbols(images.float()), symbols)


@torch.no_grad()
def test_probabilities_sum_to_one_and_their_product_is_log_prob(net, symbols):
    for cond in conditions(net):
        tables = net.tables(symbols, cond)
        assert (tables.sum(-1) - 1).abs().max() < 1e-12
        product = tables.gather(-1, symbols[..., None]).log().sum((1, 2))
        assert torch.allclose(net.log_prob(net.pictures(symbols), cond), product, rtol=1e-11)


@torch.no_grad()
def test_walking_gives_the_tables_one_by_one(net, symbols):
    for cond in conditions(net):
        tables, walk = net.tables(symbols, cond), net.walk(2, cond)
        for t in range(net.length):
            assert (walk.probabilities() - tables[:, t]).abs().max() < 1e-12
            walk.push(symbols[:, t])


@torch.no_grad()
def test_pushing_without_looking_changes_nothing(net, symbols):
    tables, walk = net.tables(symbols, None), net.walk(2, None)
    for t in range(net.length - 1):
        walk.push(symbols[:, t])
    assert (walk.probabilities() - tables[:, -1]).abs().max() < 1e-12


@torch.no_grad()
def test_a_symbol_changes_later_tables_alone(net, symbols):
    tables = net.log_tables(symbols[:1], None)
    for t in range(0, net.length - 1, max(1, net.length // 5)):
        other = symbols[:1].clone()
        other[:, t] = (other[:, t] + net.alphabet // 2) % net.alphabet
        differ = (net.log_tables(other, None) - tables).abs().amax((0, 2))
        assert differ[: t + 1].max() == 0
        assert differ[t + 1 :].max() > 1e-9


def inputs_and_outputs(core):
    """A function of floats (1, positions, numbers) to (positions, numbers), in the order of coding."""
    name, size = type(core).__name__, core.size
    labels = torch.zeros(1, dtype=torch.int64) if core.classes else None
    if name == "PixelTransformer":
        return lambda x: core.contexts(x, labels)[0], (core.length, core.token.embedding_dim)
    if name == "Mosaic":
        width = core.embed.weight.shape[1]
        fold = (1, core.side, core.side, width)
        return lambda x: core.contexts(x.view(fold), labels).flatten(1, 2)[0], (core.side**2, width)

    def pixels(x):
        picture = x.transpose(1, 2).view(1, core.channels, size, size)
        shift = core.shift(labels) if name == "PlusPlus" else labels
        made = core.logits(picture, shift) if name == "PlusPlus" else core.features(picture, shift)
        return made.flatten(2).transpose(1, 2)[0]

    return pixels, (size * size, core.channels)


def test_the_gradient_of_every_output_by_every_later_input_is_zero(net):
    function, shape = inputs_and_outputs(net.core)
    x = torch.randn(1, *shape, dtype=torch.float64, requires_grad=True)
    outputs = function(x)
    seen = torch.zeros(len(outputs), shape[0], dtype=torch.bool)
    for t, output in enumerate(outputs):
        (slope,) = grad(
            (output * torch.randn_like(output)).sum(), x, retain_graph=True, allow_unused=True
        )
        seen[t] = (slope[0] != 0).any(-1)
    assert not seen.triu().any()  # nothing of itself or later
    last = seen[
        1:
    ].diagonal()  # the position just before; not across the edge where the net is small
    assert last.float().mean() > 0.7
    assert seen[-1].float().mean() > 0.2


@torch.no_grad()
@pytest.mark.parametrize("kind", CONFIGS)
def test_sampling_with_what_is_remembered_gives_the_symbols_of_recomputing(kind):
    net = build({**CONFIGS[kind], "size": 4})
    quiet = lambda steps, total=None, label="": steps  # noqa: E731
    cond = Asked(torch.tensor([0, 2])) if net.inside.classes else None
    given = {"temperature": 0.8, "top_p": 0.9}
    images = sample(net, 2, cond, given, rng.generator(3), quiet)
    streams, drawn = rng.streams(rng.generator(3), 2), torch.zeros(2, net.length, dtype=torch.int64)
    for t in range(net.length):
        p = (net.log_tables(drawn, cond)[:, t] / 0.8).softmax(-1)
        ordered, places = p.sort(-1, descending=True)
        ordered[ordered.cumsum(-1) - ordered >= 0.9] = 0
        p = torch.zeros_like(p).scatter(-1, places, ordered)
        drawn[:, t] = rng.choose(streams, p.log())
    assert torch.equal(net.symbols(images), drawn)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["gated", "transformer", "mosaic"])
@pytest.mark.parametrize("classes", [0, 2])
def test_the_probabilities_of_all_binary_pictures_sum_to_one(kind, classes):
    size, options = {
        "gated": (3, {"depth": 2, "kernel": 3}),
        "transformer": (3, {"depth": 1, "heads": 1}),
        "mosaic": (4, {"layers": "da"}),
    }[kind]
    config = {"kind": kind, "size": size, "channels": 1, "levels": 2, "width": 4, **options}
    net = build({**config, "classes": classes})
    if kind == "mosaic":  # the first two tiles of four: the rest would be 65,536 pictures
        every = torch.tensor([(*two, 0, 0) for two in itertools.product(range(16), repeat=2)])
        tables = net.log_tables(every, None)[:, :2].gather(-1, every[:, :2, None])
        total = tables.sum((1, 2)).exp().sum()
    else:
        every = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=size * size)))
        total = net.log_prob(every.view(-1, 1, size, size).double(), None).exp().sum()
    assert abs(float(total) - 1) < 1e-12


@torch.no_grad()
def test_without_a_label_the_probability_is_the_mean_over_labels():
    net = build(CONFIGS["gated, binary"])
    images = net.pictures(torch.randint(2, (4, net.length), generator=rng.generator(0)))
    each = [net.log_prob(images, Asked(torch.full((4,), y))).exp() for y in range(3)]
    assert torch.allclose(net.log_prob(images, None).exp(), sum(each) / 3, rtol=1e-12)


@torch.no_grad()
def test_float32_logits_of_the_walk_are_those_of_the_pass_to_1e_5():
    for config in CONFIGS.values():
        net = build(config).float()
        symbols = torch.randint(net.alphabet, (1, net.length), generator=rng.generator(0))
        cond = Asked(torch.tensor([1])) if net.inside.classes else None
        tables, walk = net.log_tables(symbols, cond), net.walk(1, cond)
        for t in range(net.length):
            logits = walk.log_probabilities()
            likely = tables[:, t] > -10  # differences of mass far out in the tails say nothing
            assert (logits - tables[:, t])[likely].abs().max() < 1e-5
            walk.push(symbols[:, t])
