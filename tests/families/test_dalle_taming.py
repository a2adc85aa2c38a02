"""taming's Net2NetTransformer with a class, a map and a begin token in front: the published formulas, from one file."""

from copy import deepcopy
from pathlib import Path

import mingpt
import pytest
import torch
import yaml
from safetensors.torch import save_file

import zoo
from zoo.foreign import open_checkpoint

CASE = Path(__file__).parents[1] / "parity" / "cases" / "taming_net2net_transformer"
WIDTH, DEPTH, HEADS, VOCABULARY, CODES, CELLS = 16, 2, 4, 40, 32, 16
FIRST, SECOND = "first_stage_model.", "cond_stage_model."
LABELS = {"target": "taming.modules.util.Labelator", "params": {"n_classes": 37}}
NOTHING = {"target": "taming.modules.util.SOSProvider", "params": {"sos_token": 5}}


@pytest.fixture(scope="module")
def stages():
    """The two stages of the case's file, and its configuration with pictures of 8 px."""
    config = yaml.safe_load((CASE / "config.yaml").read_text())
    params = config["model"]["params"]
    params["first_stage_config"]["params"]["ddconfig"]["resolution"] = 8
    del params["unconditional"], params["sos_token"]
    state = open_checkpoint(CASE / "model.ckpt").tensors()
    return {k: v.float() for k, v in state.items() if k.startswith(FIRST)}, config


@pytest.fixture
def made(stages, tmp_path):
    """Writes the file of a Net2NetTransformer with a condition of so many tokens: its GPT's weights and the model."""

    def make(stage, length, more=(), **params):
        first, config = stages
        shapes = {
            "tok_emb.weight": (VOCABULARY, WIDTH),
            "pos_emb": (1, length + CELLS - 1, WIDTH),
            "head.weight": (VOCABULARY, WIDTH),
        }
        gpt = mingpt.drawn(shapes | mingpt.sizes(WIDTH, DEPTH))
        config = deepcopy(config)
        config["model"]["params"] |= {"cond_stage_config": stage, **params}
        config["model"]["params"]["transformer_config"]["params"] = {
            "vocab_size": VOCABULARY, "block_size": length + CELLS - 1, "n_layer": DEPTH,
            "n_head": HEADS, "n_embd": WIDTH,
        }  # fmt: skip
        state = {f"transformer.{key}": value for key, value in gpt.items()}
        save_file({**state, **first, **dict(more)}, tmp_path / "model.safetensors")
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        return gpt, zoo.load(tmp_path / "model.safetensors")

    return make


def logits(w, c, z):
    """Of each of the picture's tokens z (B, T) behind c (B, P), as Net2NetTransformer.forward has them: (B, T, V)."""
    ids = torch.cat([c, z], 1)[:, :-1]
    x = w["tok_emb.weight"][ids] + w["pos_emb"][0]
    return mingpt.stream(w, x, DEPTH, HEADS)[:, c.shape[1] - 1 :] @ w["head.weight"].T


def pictures(count):
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


def agree(model, gpt, c, images):
    """The conditioned model against the formulas: logits, and log_prob over the codes that pictures have."""
    z = model.encode(images).flatten(1)
    wanted = logits(gpt, c, z)[..., :CODES]
    with torch.no_grad():
        found = model.net.logits(z, model._cond(len(z)))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    nats = wanted.log_softmax(-1).gather(2, z[..., None]).sum((1, 2))
    torch.testing.assert_close(model.log_prob(images).nats, nats, rtol=1e-4, atol=1e-3)


def test_a_class_goes_in_front(made):
    gpt, model = made(LABELS, 1)
    assert model.net.classes == 37
    agree(model.condition(label=[36, 4]), gpt, torch.tensor([[36], [4]]), pictures(2))
    apart = model.condition(label=3).log_prob(pictures(1)).nats
    assert not torch.equal(apart, model.condition(label=4).log_prob(pictures(1)).nats)


def test_another_picture_s_tokens_go_in_front(made, stages):
    """A map of classes or of depths through a second VQ model, which lies in the file as well."""
    draw = torch.Generator().manual_seed(2)
    other = {
        key.replace(FIRST, SECOND): value + 0.05 * torch.randn(value.shape, generator=draw)
        for key, value in stages[0].items()
    }
    named = stages[1]["model"]["params"]["first_stage_config"]
    gpt, model = made(named, CELLS, other)
    depths = pictures(3)[1:]
    c = model.parts["condition"].encode(depths).flatten(1)
    assert not torch.equal(c, model.parts["tokenizer"].encode(depths).flatten(1))
    agree(model.condition(picture=depths), gpt, c, pictures(2))
    agree(model.condition(tokens=c.view(2, 4, 4)), gpt, c, pictures(2))


def test_the_first_stage_makes_the_condition_s_tokens_of_a_smaller_picture(made):
    gpt, model = made("__is_first_stage__", 4, downsample_cond_size=4)
    small = torch.nn.functional.interpolate(pictures(2), size=(4, 4))
    c = model.parts["condition"].encode(small).flatten(1)
    assert c.shape == (2, 4)
    agree(model.condition(picture=small), gpt, c, pictures(2))


def test_a_token_begins_where_there_is_no_condition(made):
    gpt, model = made(NOTHING, 1)
    agree(model, gpt, torch.full((2, 1), 5), pictures(2))
