"""A stream extended by what is remembered is the pass over all of it, for every kind of transformer."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from zoo_dalle.patterns import KINDS
from zoo_dalle.transformer import Shape, Transformer

PREFIX, GRID = 6, (3, 4)
TOTAL = PREFIX + 12
SHAPES = {
    "minGPT": Shape(32, 2, 4),
    "DALLE-pytorch": Shape(
        32, len(KINDS), 4, head=12, feed="geglu", bias_qkv=False, patterns=KINDS, kernel=2, block=3, rotary="dalle",
        shift=True, layer_scale=True, sandwich=True, stable=True, shared_feed=(0, 1),
    ),
    "reversible": Shape(32, 2, 4, patterns=("row", "column"), reversible=True, shift=True, rotary="line"),
    "LlamaGen": Shape(32, 2, 4, kv_heads=2, norm="rms", feed="swiglu", bias=False, rotary="llamagen"),
    "ruDALL-E": Shape(
        32, 3, 4, feed="gelu-tanh", patterns=("recent", "column", "around"), kernel=3, sandwich=True, norm_again=True,
    ),
    "grid": Shape(32, 2, 2, kv_heads=1, patterns=("conv", "full"), rotary="grid", last_norm=False),
}  # fmt: skip


def net(shape, dtype=torch.float64):
    torch.manual_seed(0)
    made = Transformer(shape, PREFIX, GRID).to(dtype)
    made.reset_buffers()
    for each in made.parameters():
        nn.init.normal_(each, std=0.3)
    return made.eval()


def steps(model, x, cuts, memory):
    """`x` in pieces that end at `cuts`."""
    starts = [0, *cuts]
    return torch.cat(
        [model.extend(x[:, a:b], memory) for a, b in zip(starts, cuts, strict=False)], 1
    )


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("limited", [False, True], ids=["all", "allowed"])
def test_what_is_remembered_gives_the_same_numbers(kind, limited):
    model = net(SHAPES[kind])
    x = torch.randn(3, TOTAL, 32, dtype=torch.float64)
    allowed = torch.rand(3, PREFIX) > 0.5 if limited else None
    wanted = model(x, allowed)
    one_by_one = [PREFIX, *range(PREFIX + 1, TOTAL + 1)]
    for cuts in (one_by_one, [2, PREFIX + 3, PREFIX + 4, TOTAL], list(range(1, TOTAL + 1))):
        found = steps(model, x, cuts, model.memory(3, allowed=allowed))
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", SHAPES)
def test_in_single_precision_to_a_hundred_thousandth(kind):
    model = net(replace(SHAPES[kind], stable=False), torch.float32)
    for each in model.parameters():
        nn.init.normal_(each, std=0.1)
    x = torch.randn(2, TOTAL, 32)
    found = steps(model, x, [PREFIX, *range(PREFIX + 1, TOTAL + 1)], model.memory(2))
    torch.testing.assert_close(found, model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("limited", [False, True], ids=["all", "allowed"])
def test_pictures_share_what_is_remembered_of_their_prompt(kind, limited):
    model = net(SHAPES[kind])
    prompts = torch.randn(2, PREFIX, 32, dtype=torch.float64)
    allowed = torch.rand(2, PREFIX) > 0.5 if limited else None
    memory = model.memory(2, allowed=allowed)
    model.extend(prompts, memory)
    memory = memory.repeat(3)
    image = torch.randn(6, 12, 32, dtype=torch.float64)
    whole = torch.cat([prompts.repeat_interleave(3, 0), image], 1)
    every = None if allowed is None else allowed.repeat_interleave(3, 0)
    wanted = model(whole, every)[:, PREFIX:]
    found = steps(model, image, [2, *range(3, 8)], memory)
    torch.testing.assert_close(found, wanted[:, :7], rtol=1e-9, atol=1e-9)
    assert all(len(kept.prompt_keys) == 2 for kept in memory.layers)  # once a prompt
    if limited:  # the null of guidance has no mask
        other = model.memory(2)
        model.extend(prompts, other)
        other = other.repeat(3)
        steps(model, image, [7], other)
        joined = steps(model, image.repeat(2, 1, 1)[:, 7:], [1], memory.join(other))
        torch.testing.assert_close(joined[:6], wanted[:, 7:8], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(joined[6:], model(whole)[:, [PREFIX + 7]], rtol=1e-9, atol=1e-9)

    part = memory.take(3, 6)  # the second prompt's
    found = steps(model, image[3:, 7:], [1, 2], part)
    torch.testing.assert_close(found, wanted[3:, 7:9], rtol=1e-9, atol=1e-9)
    both = memory.take(0, 3).join(memory.take(3, 6))
    found = steps(model, image[:, 7:], range(1, 6), both)
    torch.testing.assert_close(found, wanted[:, 7:], rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="share a prompt"):
        memory.take(1, 4)


def test_a_pre_norm_encoder_layer_of_torch_is_the_same_block():
    """minGPT's block is torch's own with a causal mask; the last norm is left out."""
    model = net(Shape(32, 1, 4, last_norm=False))
    block = model.blocks[0]
    theirs = nn.TransformerEncoderLayer(
        32, 4, 128, 0.0, "gelu", batch_first=True, norm_first=True, dtype=torch.float64
    )
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": block.attention.qkv.weight,
            "self_attn.in_proj_bias": block.attention.qkv.bias,
            "self_attn.out_proj.weight": block.attention.out.weight,
            "self_attn.out_proj.bias": block.attention.out.bias,
            "linear1.weight": block.feed.up.weight,
            "linear1.bias": block.feed.up.bias,
            "linear2.weight": block.feed.down.weight,
            "linear2.bias": block.feed.down.bias,
            "norm1.weight": block.norm_attention.weight,
            "norm1.bias": block.norm_attention.bias,
            "norm2.weight": block.norm_feed.weight,
            "norm2.bias": block.norm_feed.bias,
        }
    )
    x = torch.randn(2, TOTAL, 32, dtype=torch.float64)
    hidden = nn.Transformer.generate_square_subsequent_mask(TOTAL, dtype=torch.float64)
    wanted = theirs(x, src_mask=hidden, is_causal=True)
    torch.testing.assert_close(model(x), wanted, rtol=1e-12, atol=1e-12)


def test_token_shift_takes_from_before_above_and_left():
    model = net(Shape(8, 1, 2, shift=True))
    x = torch.arange(1.0, TOTAL + 1)[None, :, None].expand(1, TOTAL, 8).double()
    found = model.shift(x, 0, None, 0)[0]
    assert found[:PREFIX, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert found[:PREFIX, 2].tolist() == [0, 1, 2, 3, 4, 5]
    assert found[PREFIX:, 0].tolist() == [0, 0, 0, 0, 7, 8, 9, 10, 11, 12, 13, 14]
    assert found[PREFIX:, 2].tolist() == [0, 7, 8, 9, 0, 11, 12, 13, 0, 15, 16, 17]
    assert torch.equal(found[:, 4:], x[0, :, 4:])


def test_reversible_blocks_run_on_two_streams():
    model = net(Shape(16, 2, 2, reversible=True, last_norm=False))
    x = torch.randn(1, TOTAL, 16, dtype=torch.float64)
    view, (a, b) = model._view("full", 0, TOTAL, None), (x, x)
    for block in model.blocks:
        a = a + block.attention(block.norm_attention(b), view)
        b = b + block.feed(block.norm_feed(a))
    torch.testing.assert_close(model(x), (a + b) / 2, rtol=0, atol=1e-12)


def test_blocks_of_one_number_share_their_weights():
    shape = Shape(16, 4, 2, shared_attention=(0, 1), patterns=("full", "row"), shared_feed=(7,))
    model = net(shape)
    blocks = list(model.blocks)
    assert blocks[0].attention is blocks[2].attention
    assert blocks[0].attention is not blocks[1].attention
    assert len({id(each.feed) for each in blocks}) == 1
    one = sum(each.numel() for each in net(Shape(16, 1, 2)).blocks[0].feed.parameters())
    assert (
        sum(each.numel() for each in net(replace(shape, shared_feed=())).parameters())
        - sum(each.numel() for each in model.parameters())
        == 3 * one
    )


@pytest.mark.parametrize("kind", ["DALLE-pytorch", "reversible"])
def test_checkpointing_changes_no_gradient(kind):
    x = torch.randn(2, TOTAL - 1, 32, dtype=torch.float64)
    gradients = []
    for checkpoint in (False, True):
        model = net(replace(SHAPES[kind], checkpoint=checkpoint)).train()
        model(x).square().sum().backward()
        gradients.append([each.grad for each in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


def test_a_net_built_on_meta_makes_its_masks_and_angles_afterwards():
    shape = SHAPES["DALLE-pytorch"]
    with torch.device("meta"):
        model = Transformer(shape, PREFIX, GRID)
    model = model.to_empty(device="cpu")
    wanted = net(shape, torch.float32)
    model.load_state_dict(wanted.state_dict())
    model.reset_buffers()
    x = torch.randn(1, TOTAL, 32)
    torch.testing.assert_close(model.eval()(x), wanted(x))


def test_past_the_last_position_is_refused():
    model = net(SHAPES["minGPT"])
    memory = model.memory(1)
    model.extend(torch.zeros(1, TOTAL, 32, dtype=torch.float64), memory)
    with pytest.raises(ValueError, match=r"18 positions; 18 are there and 1 more"):
        model.extend(torch.zeros(1, 1, 32, dtype=torch.float64), memory)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 5}, "32 does not divide among 5"),
        ({"kv_heads": 3}, "4 heads of queries do not divide among 3"),
        ({"patterns": ("full", "diagonal")}, "diagonal"),
        ({"patterns": ()}, "name one or more"),
        ({"feed": "relu"}, "geglu"),
        ({"rotary": "3d"}, "llamagen"),
        ({"width": 20, "heads": 4, "head": 5, "rotary": "line"}, "5 channels a head"),
        ({"width": 6, "heads": 2, "shift": True}, "quarters"),
        ({"patterns": ("full", "row"), "shared_attention": (0,)}, "different patterns"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Shape(**{"width": 32, "depth": 2, "heads": 4, **options})
