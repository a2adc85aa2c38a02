"""The net's probabilities, exactly: they sum to 1, one at a time as all at once, whatever the prefix and the codes."""

import copy
from itertools import product

import pytest
import torch
import toys

from zoo.errors import RequestError, Unsupported
from zoo.nn.coding import Autoregressive
from zoo_dalle import scoring
from zoo_dalle.asking import Asked, asked, null
from zoo_dalle.codes import halved
from zoo_dalle.making import dalle

SMALL = toys.tokenizer(codes=4, size=8)  # 2 x 2 tokens of 4 codes: 256 pictures
CODES = {
    "learned": {},
    "shared": {"heads": "shared"},
    "codebook": {"embed": "codebook", "rank": 5, "hidden": 6},
    "groups": {"embed": "codebook", "rank": 5, "hidden": 6, "groups": 2},
}
NETS = {
    **{f"text, {name}": {"text": toys.TEXT, **codes} for name, codes in CODES.items()},
    "class": {"classes": 3, "begin": False},
    "picture": {"picture": {"codes": 5, "grid": [1, 2]}},
    "nothing": {},
}
REQUESTS = {
    "text": {"text": ["noto: red apple", "red", "twemoji: house"]},
    "class": {"label": [0, 2, 1]},
    "picture": {"tokens": [[[1, 4]]]},
    "nothing": {},
}


def small(name):
    return toys.net(SMALL, codes=4, grid=(2, 2), null=True, **NETS[name])


def request(name):
    return REQUESTS[name.split(",")[0]]


@torch.no_grad()
@pytest.mark.parametrize("name", NETS)
def test_all_pictures_together_have_probability_one(name):
    net = small(name)
    every = torch.tensor(list(product(range(4), repeat=4)))
    cond = asked(net, {key: value[:1] for key, value in request(name).items()}, len(every))
    nats = scoring.log_prob(net, every, cond)
    assert nats.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert nats.exp().max() > 2 * nats.exp().min()
    said = net.tables(every, cond).gather(-1, every[..., None]).squeeze(-1)
    torch.testing.assert_close(said.log().sum(-1), nats, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        net.tables(every, cond).sum(-1), torch.ones(256, 4).double(), rtol=0, atol=1e-12
    )


@torch.no_grad()
@pytest.mark.parametrize("name", NETS)
def test_one_at_a_time_is_all_at_once(name):
    net = small(name)
    assert isinstance(net, Autoregressive)
    cond = asked(net, request(name), 3)
    symbols = torch.tensor([[0, 1, 2, 3], [3, 3, 0, 1], [2, 0, 0, 2]])
    tables, walk = net.tables(symbols, cond), net.walk(3, cond)
    for place in range(4):
        torch.testing.assert_close(walk.probabilities(), tables[:, place], rtol=0, atol=1e-10)
        walk.push(symbols[:, place])


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in NETS if name != "nothing"])
def test_the_condition_says_something(name):
    net = small(name)
    tokens = torch.tensor([[0, 1, 2, 3]])
    with_, without = asked(net, {k: v[:1] for k, v in request(name).items()}, 1), null(net, None, 1)
    assert (net.tables(tokens, with_) - net.tables(tokens, without)).abs().max() > 1e-3
    torch.testing.assert_close(net.tables(tokens, None), net.tables(tokens, without))


@torch.no_grad()
@pytest.mark.parametrize("begin", [True, False])
def test_all_texts_together_have_probability_one(begin):
    words = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2}, "merges": []}}
    net = toys.net(codes=4, grid=(1, 1), begin=begin, text={"length": 3, "vocabulary": words})
    texts = [row for n in range(4) for row in product(range(3), repeat=n)]
    ids = torch.tensor([[*row, *range(3 + len(row), 6)] for row in texts])
    nats = scoring.log_prob_of_prefix(net, Asked(ids))
    firsts = (
        1 if begin else 4
    )  # without a begin token: given the first piece, or that there is none
    assert nats.exp().sum().item() == pytest.approx(firsts, abs=1e-12)
    assert nats.exp().max() > 2 * nats.exp().min()


@torch.no_grad()
def test_given_rows_are_certain():
    net = small("text, groups")
    cond = Asked(forced=torch.tensor([[2, 1]]))
    every = torch.tensor([[2, 1, *rest] for rest in product(range(4), repeat=2)])
    wide = Asked(forced=cond.forced.expand(16, -1))
    nats = scoring.log_prob(net, every, wide)
    assert nats.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert scoring.log_prob(net, torch.tensor([[2, 0, 1, 1]]), cond).item() == -torch.inf
    walk = net.walk(1, cond)
    assert walk.probabilities().tolist() == [[0, 0, 1, 0]]
    walk.push(torch.tensor([2]))
    walk.push(torch.tensor([1]))
    torch.testing.assert_close(
        walk.probabilities(), net.tables(every[:1], cond)[:, 2], rtol=0, atol=1e-10
    )


def test_rows_of_a_picture_are_asked_for_through_the_tokenizer():
    net = toys.net(SMALL, codes=4, grid=(2, 2))
    pictures = torch.rand(2, 3, 8, 8) * 2 - 1
    cond = asked(net, {"prefix": pictures, "rows": 1}, 2)
    assert torch.equal(cond.forced, net.symbols(pictures)[:, :2])
    with pytest.raises(RequestError, match=r"1 to 2; got 3"):
        asked(net, {"prefix": pictures, "rows": 3}, 2)
    with pytest.raises(RequestError, match="prefix=pictures as well"):
        asked(net, {"rows": 1}, 2)


def test_groups_are_halves_of_halves():
    line = torch.tensor([[5.0], [1.0], [7.0], [3.0], [0.0], [6.0], [2.0], [4.0]])
    groups = line[halved(line, 4)].view(4, 2).sort(1).values
    assert sorted(groups.tolist()) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    corners = torch.tensor([[x, y, 0.0] for x in (0, 9, 1) for y in (0, 1, 2, 3)])
    assert sorted(halved(corners, 1).tolist()) == list(range(12))
    one, other = halved(corners, 2).view(2, 6).tolist()
    assert sorted(one + other) == list(range(12))
    assert {4, 5, 6, 7} <= set(one) or {4, 5, 6, 7} <= set(other)


def test_a_copy_shares_the_tokenizer_and_not_the_weights():
    net = small("text, codebook")
    again = copy.deepcopy(net)
    assert again.tokenizer is net.tokenizer
    assert again.head is None
    assert again.image_codes.bias.data_ptr() != net.image_codes.bias.data_ptr()


def test_the_tokenizer_is_no_part_of_the_weights():
    net = small("text, codebook")
    assert not [name for name in net.state_dict() if "quantizer" in name or "vectors" in name]
    assert [name for name, _ in net.named_children()] == [
        "given", "image_codes", "places", "transformer", "text_head",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        ({"codes": 8}, ValueError, "4x4 tokens of 8 codes, but the tokenizer, .*, makes 4x4 tokens of 24"),
        ({"grid": [2, 4]}, ValueError, "2x4 tokens of 24 codes, but .* makes 4x4"),
        ({"classes": 3, "text": toys.TEXT}, ValueError, "text and classes"),
        ({"embed": "codebok"}, ValueError, "learned, codebook"),
        ({"embed": "codebook", "heads": "shared"}, ValueError, "cannot be shared"),
        ({"embed": "codebook", "groups": 3}, ValueError, "power of 2 that divides the 24"),
        ({"begin": False}, ValueError, "needs begin = true"),
        ({"text": {"length": 4, "vocabulary": {"words": []}}}, ValueError, "tokenizer.json"),
        ({"text": {"length": 4, "vocabulary": toys.WORDS, "lenght": 3}}, TypeError, "lenght"),
        ({"no_such": 1}, TypeError, "no_such"),
        ({"picture": {"codes": 9, "grid": [4, 4], "part": "tokenizer"}}, ValueError, "9 codes, but the part"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(config, kind, message):
    whole = {"shape": toys.SHAPE, "grid": [4, 4], "codes": 24, **config}
    with pytest.raises(kind, match=message):
        dalle(whole, {"tokenizer": toys.tokenizer()})


@pytest.mark.parametrize(
    ("name", "request_", "message"),
    [
        ("class", {"label": 3}, "0 .. 2"),
        ("class", {"text": "a"}, "takes label="),
        ("picture", {"tokens": [[[1, 5]]]}, r"0 .. 4; got 1 .. 5"),
        ("picture", {"tokens": [[1, 2, 3]]}, r"\(B, 1, 2\)"),
        ("picture", {"picture": "x.png"}, "no part that makes tokens"),
        ("nothing", {"label": 1}, "no condition but prefix"),
        ("text, learned", {"text": ["a", "b", "c"]}, "3 entries for 2"),
        ("text, learned", {"txt": "a"}, "There is no condition 'txt'"),
    ],
)
def test_requests_that_cannot_be_met_say_what_can(name, request_, message):
    with pytest.raises(RequestError, match=message):
        asked(small(name), request_, 2)


def test_without_a_null_a_condition_must_be_given():
    net = toys.net(SMALL, codes=4, grid=(2, 2), classes=3)
    with pytest.raises(RequestError, match="leave out guidance"):
        net.tables(torch.zeros(1, 4, dtype=torch.int64), None)


def test_without_a_tokenizer_there_are_tokens_alone():
    net = toys.net(codes=4, grid=(2, 2), classes=3)
    assert net.tables(torch.zeros(1, 4, dtype=torch.int64), asked(net, {"label": 1}, 1)).shape == (
        1, 4, 4,
    )  # fmt: skip
    with pytest.raises(Unsupported, match="tokenizer"):
        net.symbols(torch.zeros(1, 3, 8, 8))
