"""Published layouts are recognised, with and without their configuration, and nothing else is."""

import copy
import json
from pathlib import Path

import pytest
import torch

from zoo.errors import ForeignError
from zoo_vq import layouts
from zoo_vq.remap import Remap

PUBLISHED = Path(__file__).parents[1] / "parity" / "published"


def listed(name):
    found = json.loads((PUBLISHED / f"{name}.json").read_text())
    return {key: tuple(shape) for key, shape in found["keys"].items()}, found["config"]


# What only the configuration tells; everything else must be read off the shapes.
UNTOLD = {
    "vqgan_imagenet_f16_1024": set(),
    "vqgan_gumbel_f8_8192": {"kl_weight", "temperature"},
    "ldm_first_stage_vq_f4_noattn": set(),
    "kandinsky2_movq_diffusers": set(),
    "llamagen_vq16": set(),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_shapes_alone_give_the_same_net(name):
    keys, config = listed(name)
    told, alone = layouts.adopt(keys, config), layouts.adopt(keys, None)
    for part in ("encoder", "decoder", "quantizer"):
        ours, theirs = told.config[part], alone.config[part]
        assert {k for k in ours if ours[k] != theirs.get(k)} <= UNTOLD[name]
    assert alone.rename == told.rename
    assert "no configuration" in alone.notes


def test_image_latent_and_codes_come_from_the_configuration():
    keys, config = listed("vqgan_gumbel_f8_8192")
    found = layouts.adopt(keys, config)
    assert (found.image, found.latent) == ((3, 256, 256), (32, 32))
    assert (found.codes, found.multiple) == (8192, 8)
    assert found.config["quantizer"]["kl_weight"] == config["model"]["params"]["kl_weight"]


@pytest.mark.parametrize(
    ("name", "path", "value", "said"),
    [
        (
            "vqgan_imagenet_f16_1024",
            "model.params.n_embed",
            512,
            "n_embed is 512, the tensors say 1024",
        ),
        ("vqgan_imagenet_f16_1024", "model.params.ddconfig.ch", 64, "ch \\* ch_mult"),
        ("vqgan_imagenet_f16_1024", "model.params.ddconfig.attn_resolutions", [32], "attention"),
        ("vqgan_imagenet_f16_1024", "model.params.ddconfig.give_pre_end", True, "give_pre_end"),
        ("kandinsky2_movq_diffusers", "norm_type", "group", "norm_type is group"),
        ("kandinsky2_movq_diffusers", "layers_per_block", 3, "layers_per_block"),
        ("kandinsky2_movq_diffusers", "down_block_types", ["DownBlock2D"] * 4, "not supported"),
        ("llamagen_vq16", "encoder_ch_mult", [1, 2, 2, 4], "encoder_ch_mult"),
    ],
)
def test_a_configuration_of_another_checkpoint_is_refused(name, path, value, said):
    keys, config = listed(name)
    config = copy.deepcopy(config)
    *parents, last = path.split(".")
    inner = config
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    with pytest.raises(ForeignError, match=said):
        layouts.adopt(keys, config)


def test_other_checkpoints_are_not_claimed():
    keys, config = listed("vqgan_imagenet_f16_1024")
    assert layouts.adopt({"w": (1, 2)}, None) is None
    assert layouts.adopt({f"first_stage_model.{k}": v for k, v in keys.items()}, config) is None
    without = {k: v for k, v in keys.items() if not k.startswith("quantize.")}  # an AutoencoderKL
    assert layouts.adopt(without, config) is None


def test_a_checkpoint_that_lacks_a_level_is_refused():
    keys, config = listed("vqgan_imagenet_f16_1024")
    cut = {k: v for k, v in keys.items() if not k.startswith("decoder.conv_out")}
    with pytest.raises(ForeignError, match=r"decoder lacks decoder\.conv_out\.weight"):
        layouts.adopt(cut, config)


def test_renumbered_tokens_go_there_and_back():
    used = torch.tensor([5, 2, 9])
    tokens = torch.tensor([[2, 9], [5, 7]])
    for unknown, code in (("extra", 3), (1, 1), ("random", 7 % 3)):
        remap = Remap(3, unknown)
        remap.used.copy_(used)
        narrow = remap.narrow(tokens)
        assert narrow.tolist() == [[1, 2], [0, code]]
        assert remap.widen(narrow).flatten().tolist()[:3] == [2, 9, 5]
    state = torch.get_rng_state()
    drawn = remap.narrow(tokens, torch.Generator().manual_seed(0))
    assert drawn.max() < 3
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="'random', 'extra' and a number"):
        Remap(3, "other")
