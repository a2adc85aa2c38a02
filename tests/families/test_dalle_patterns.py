"""Each position sees what its pattern says and no more: shown by gradients, a naive sum and poisoned memory."""

import math

import pytest
import torch

from zoo_dalle.flex import Flex
from zoo_dalle.patterns import KINDS, neighbours, visible
from zoo_dalle.positions import ROTATIONS, rotations, turn
from zoo_dalle.transformer import Shape, Transformer

PREFIX, GRID = 5, (3, 4)
TOTAL = PREFIX + 12


def sees(kind, t, s):
    """The definition, written out a second time."""
    if s > t:
        return False
    if s < PREFIX or kind == "full":
        return True
    (r, c), (r2, c2) = divmod(t - PREFIX, GRID[1]), divmod(s - PREFIX, GRID[1])
    if kind == "row":
        return r == r2
    if kind == "column":
        return c == c2
    if kind == "around":  # kernel 2: one to each side
        return r - r2 <= 1 and abs(c - c2) <= 1
    if kind == "recent":
        return (r2, c2) >= (r - 1, c)
    return r - r2 < 2 and 0 <= c - c2 < 2  # conv, kernel 2


def net(depth=1, **options):
    torch.manual_seed(0)
    made = Transformer(Shape(16, depth, 2, kernel=2, block=2, **options), PREFIX, GRID).double()
    made.reset_buffers()
    for each in made.parameters():
        torch.nn.init.normal_(each, std=0.4)
    return made.eval()


def reached(model):
    """(N, N) bool: whether output t has a gradient with respect to input s."""
    x = torch.randn(1, TOTAL, 16, dtype=torch.float64, requires_grad=True)
    out = model(x)
    rows = [
        torch.autograd.grad(out[0, t, :].sum(), x, retain_graph=True)[0][0] for t in range(TOTAL)
    ]
    return torch.stack(rows).abs().amax(-1) > 0


@pytest.mark.parametrize("kind", ["full", "row", "column", "conv", "around", "recent"])
def test_a_layer_sees_what_its_pattern_says(kind):
    wanted = torch.tensor([[sees(kind, t, s) for s in range(TOTAL)] for t in range(TOTAL)])
    assert torch.equal(reached(net(patterns=(kind,))), wanted)


def test_blocks_are_seen_whole_up_to_the_position():
    mask = visible("block", PREFIX, (8, 8), block=4)
    assert torch.equal(reached(net(patterns=("block",))), visible("block", PREFIX, GRID, block=2))
    for t in range(len(mask)):
        assert mask[t, t]
        assert mask[t, : min(PREFIX, t + 1)].all()
        assert not mask[t, t + 1 :].any()
        whole = t // 4 * 4  # blocks that lie before: seen or not seen, never in part
        seen = mask[t, 8:whole].view(-1, 4)  # from the first block without prefix
        assert torch.equal(seen.any(1), seen.all(1))
    density = mask[PREFIX:, PREFIX:].double().mean() / visible("full", 0, (8, 8)).double().mean()
    assert 0.2 < density < 0.8


@pytest.mark.parametrize(
    "options",
    [
        {"patterns": KINDS, "shift": True, "rotary": "dalle", "feed": "geglu"},
        {"patterns": ("row", "column"), "reversible": True, "sandwich": True},
        {"rotary": "llamagen", "norm": "rms", "feed": "swiglu", "kv_heads": 1, "bias": False},
    ],
)
def test_nothing_sees_the_future(options):
    found = reached(net(depth=5, **options))
    assert not found.triu(1).any()
    assert found.diagonal().all()


@pytest.mark.parametrize("rotary", ROTATIONS)
@pytest.mark.parametrize("kv_heads", [1, 4])
def test_attention_is_the_naive_sum(rotary, kv_heads):
    torch.manual_seed(0)
    shape = Shape(24, 1, 4, kv_heads=kv_heads, head=12, patterns=("conv",), kernel=2, rotary=rotary)
    model = Transformer(shape, PREFIX, GRID).double()
    model.reset_buffers()
    attention = model.blocks[0].attention
    torch.nn.init.normal_(attention.qkv.weight)
    x = torch.randn(2, TOTAL, 24, dtype=torch.float64)
    found = attention(x, model._view("conv", 0, TOTAL, None))

    qkv = x @ attention.qkv.weight.T + attention.qkv.bias
    q, k, v = qkv.split([48, 12 * kv_heads, 12 * kv_heads], -1)
    q, k, v = (each.unflatten(-1, (-1, 12)) for each in (q, k, v))  # (B, N, heads, d)
    if rotary != "none":
        cosine, sine = rotations(rotary, PREFIX, GRID, 12)
        wheel = torch.complex(cosine.double(), sine.double())[:, None, ::2]  # (N, 1, d / 2)

        def spin(a):
            pairs = torch.view_as_complex(a.unflatten(-1, (-1, 2)).contiguous())
            return torch.view_as_real(pairs * wheel).flatten(-2)

        q, k = spin(q), spin(k)
        v = spin(v) if rotary == "dalle" else v
    out = torch.zeros(2, TOTAL, 4, 12, dtype=torch.float64)
    for t in range(TOTAL):
        for head in range(4):
            of = head * kv_heads // 4
            seen = [s for s in range(TOTAL) if sees("conv", t, s)]
            scores = torch.stack(
                [(q[:, t, head] * k[:, s, of]).sum(-1) for s in seen], -1
            ) / math.sqrt(12)
            weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
            out[:, t, head] = sum(weights[:, i, None] * v[:, s, of] for i, s in enumerate(seen))
    wanted = out.flatten(2) @ attention.out.weight.T + attention.out.bias
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_reads_what_it_may_see_and_no_more(kind):
    """What the pattern does not allow is poisoned in the memory: a step that read it would give no number."""
    model = net(patterns=(kind,))
    x = torch.randn(1, TOTAL, 16, dtype=torch.float64)
    mask = visible(kind, PREFIX, GRID, 2, 2)
    wanted = model(x)
    for t in (PREFIX, PREFIX + 5, TOTAL - 1):
        memory = model.memory(1)
        model.extend(x[:, :t], memory)
        kept = memory.layers[0]
        for whole, image in ((kept.keys, kept.image_keys), (kept.values, kept.image_values)):
            if image is None:
                whole[:, :, t:] = torch.nan
            else:
                whole[:, :, PREFIX:] = torch.nan
                image[:, :, ~mask[t, PREFIX:]] = torch.nan
        torch.testing.assert_close(model.extend(x[:, t : t + 1], memory)[0, 0], wanted[0, t])


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("kind", KINDS)
def test_flex_attention_sees_the_same(kind):
    mask = visible(kind, PREFIX, GRID, 2, 2)
    q = torch.randn(2, 4, TOTAL - 1, 8)
    k, v = torch.randn(2, 2, 2, TOTAL - 1, 8)
    wanted = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask[:-1, :-1], enable_gqa=True
    )
    torch.testing.assert_close(Flex(mask, compiled=False)(q, k, v), wanted)


def test_neighbours_end_with_the_position_itself():
    for kind in KINDS:
        for t, near in enumerate(neighbours(visible(kind, PREFIX, GRID), PREFIX)):
            assert near[-1] == t


def test_an_unknown_pattern_is_refused():
    with pytest.raises(ValueError, match=r"no attention pattern 'diagonal'.*column"):
        visible("diagonal", PREFIX, GRID)


@pytest.mark.parametrize("rotary", ["line", "grid"])
def test_rotated_products_depend_on_the_difference_alone(rotary):
    """The same step apart, the same product: what makes these positions relative."""
    cosine, sine = (each.double() for each in rotations(rotary, PREFIX, GRID, 12))
    q, k = torch.randn(2, 1, 12, dtype=torch.float64)
    products = (turn(q.expand(TOTAL, -1), cosine, sine)) @ turn(k.expand(TOTAL, -1), cosine, sine).T
    for t, s, step in ((1, 0, 2), (PREFIX + 1, PREFIX, GRID[1]), (PREFIX + GRID[1], PREFIX, 1)):
        torch.testing.assert_close(products[t, s], products[t + step, s + step], rtol=0, atol=1e-5)
    assert (products.diagonal() - (q * k).sum()).abs().max() < 1e-5
