"""Published denoising networks are recognised, with and without their configuration, and nothing else is."""

import copy
import json
from pathlib import Path

import pytest
import torch

from zoo.bare import shapes_only
from zoo.errors import ForeignError
from zoo_diffusion import layouts
from zoo_diffusion.layouts import _classifier
from zoo_diffusion.networks import network
from zoo_diffusion.noisy import NoisyClassifier

PUBLISHED = Path(__file__).parents[1] / "parity" / "published"
SMALL = {
    "kind": "unet",
    "channels": 3,
    "outputs": 6,
    "widths": [32, 32, 64],
    "blocks": 1,
    "attention": {"levels": [2]},
}


def listed(name):
    found = json.loads((PUBLISHED / f"{name}.json").read_text())
    return {key: tuple(shape) for key, shape in found["keys"].items()}, found["config"]


# What only the configuration tells; everything else is read off the shapes.
UNTOLD = {
    "guided_diffusion_64_classcond": {"residual"},  # dropout
    "guided_diffusion_512_classcond": set(),
    "improved_diffusion_cifar10_uncond_50M": {"residual"},
    "improved_diffusion_lsun_bedroom_100M": set(),
    "dit_xl_2_256_diffusers": set(),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_shapes_alone_give_the_same_net(name):
    keys, config = listed(name)
    told, alone = layouts.adopt(keys, config), layouts.adopt(keys, None)
    net, bare = told.config["net"], alone.config["net"]
    assert {key for key in net if net[key] != bare.get(key)} <= UNTOLD[name]
    assert (alone.rename, alone.image) == (told.rename, told.image)
    assert "no configuration" in alone.notes


def test_the_process_comes_of_the_flags_or_of_the_published_checkpoint_of_these_shapes():
    keys, config = listed("guided_diffusion_64_classcond")
    cosine = {"schedule": "cosine", "steps": 1000, "prediction": "eps", "variance": "learned-range"}
    assert layouts.adopt(keys, config).config["process"] == cosine
    assert layouts.adopt(keys, None).config["process"] == cosine
    keys, config = listed("improved_diffusion_cifar10_uncond_50M")
    published = layouts.adopt(keys, None).config["process"]
    assert published == cosine | {"steps": 4000, "clock": 1000}
    linear = layouts.adopt(keys, config | {"diffusion_steps": 500}).config["process"]
    assert linear == cosine | {"schedule": "linear", "steps": 500, "clock": 1000}


def test_a_scheduler_beside_a_diffusers_model_is_its_process():
    keys, config = listed("ddpm_cifar10_32_unet")
    scheduler = {
        "_class_name": "DDPMScheduler",
        "beta_schedule": "scaled_linear",
        "beta_start": 0.001,
        "beta_end": 0.01,
        "prediction_type": "v_prediction",
    }
    found = layouts.adopt(keys, config | {"scheduler": scheduler})
    assert found.config["process"] == {
        "schedule": "scaled-linear",
        "steps": 1000,
        "prediction": "v",
        "variance": "posterior",
        "beta_start": 0.001,
        "beta_end": 0.01,
    }
    assert found.notes == ""
    assert "no scheduler_config.json" in layouts.adopt(keys, config).notes
    with pytest.raises(ForeignError, match="says anything of a variance"):
        layouts.adopt(keys, config | {"scheduler": scheduler | {"variance_type": "learned"}})


@pytest.mark.parametrize(
    ("name", "key", "value", "said"),
    [
        ("guided_diffusion_512_classcond", "num_channels", 128, "the width is 128, .* say 256"),
        ("guided_diffusion_512_classcond", "num_res_blocks", 3, "num_res_blocks is 3"),
        ("guided_diffusion_512_classcond", "resblock_updown", False, "resblock_updown is False"),
        ("guided_diffusion_512_classcond", "channel_mult", "1,1,2,2,4,4", "channel_mult"),
        ("guided_diffusion_512_classcond", "attention_resolutions", "8", "levels with attention"),
        ("guided_diffusion_512_classcond", "use_scale_shift_norm", False, "use_scale_shift_norm"),
        ("guided_diffusion_512_classcond", "noise_schedule", "sqrt", "noise_schedule 'sqrt'"),
        ("guided_diffusion_512_classcond", "dims", 3, "dims 3"),
        ("ddpm_cifar10_32_unet", "block_out_channels", [128, 256], "block_out_channels"),
        ("ddpm_cifar10_32_unet", "layers_per_block", 1, "layers_per_block is 1"),
        ("ddpm_cifar10_32_unet", "num_class_embeds", 10, "num_class_embeds is 10"),
        ("ddpm_cifar10_32_unet", "downsample_padding", 2, "downsample_padding 2"),
        ("ddpm_cifar10_32_unet", "resnet_time_scale_shift", "scale_shift", "scale-shift, .* shift"),
        ("ddpm_cifar10_32_unet", "act_fn", "tanh", "act_fn 'tanh'"),
        ("ddpm_cifar10_32_unet", "down_block_types", ["SkipDownBlock2D"] * 4, "not supported"),
        ("ddpm_cifar10_32_unet", "up_block_types", ["UpBlock2D"] * 4, "levels with attention"),
        ("ddpm_cifar10_32_unet", "time_embedding_type", "words", "time_proj.weight|words"),
        ("dit_xl_2_256_diffusers", "num_layers", 12, "num_layers is 12"),
        ("dit_xl_2_256_diffusers", "attention_head_dim", 64, "num_attention_heads is 16"),
        ("dit_xl_2_256_diffusers", "norm_type", "ada_norm", "norm_type 'ada_norm'"),
        ("dit_xl_2_256_diffusers", "activation_fn", "relu", "activation_fn 'relu'"),
    ],
)
def test_a_configuration_of_another_checkpoint_is_refused(name, key, value, said):
    keys, config = listed(name)
    with pytest.raises(ForeignError, match=said):
        layouts.adopt(keys, copy.deepcopy(config) | {key: value})


def test_a_classifier_is_told_apart_and_its_size_is_read_off_its_pool():
    keys, config = listed("guided_diffusion_256_classifier")
    assert layouts.adopt(keys, config) is None
    told, alone = _classifier.adopt(keys, config), _classifier.adopt(keys, None)
    assert told.config["net"] == alone.config["net"]
    assert told.image == alone.image == (3, 256, 256)
    with pytest.raises(ForeignError, match=r"image_size is 128|levels|channel_mult"):
        _classifier.adopt(keys, config | {"image_size": 128})
    with pytest.raises(ForeignError, match="the pool is spatial, the tensors say attention"):
        _classifier.adopt(keys, config | {"classifier_pool": "spatial"})
    unet, flags = listed("guided_diffusion_64_classcond")
    assert _classifier.adopt(unet, flags) is None


def test_a_classifier_whose_levels_the_shapes_do_not_tell_asks_for_its_flags():
    """Four blocks without attention, all of one width, may be two levels or four."""
    keys, _ = listed("guided_diffusion_256_classifier")
    alike = {k: v for k, v in keys.items() if not k.startswith("input_blocks.")}
    one = {
        key.removeprefix("input_blocks.2.0."): shape
        for key, shape in keys.items()
        if key.startswith("input_blocks.2.0.")
    }
    alike |= {k: v for k, v in keys.items() if k.startswith("input_blocks.0.")}
    for block in range(1, 8):
        alike |= {f"input_blocks.{block}.0.{name}": shape for name, shape in one.items()}
    with pytest.raises(ForeignError, match=r"8 input blocks may be \[1, 2, 4\] levels"):
        _classifier.adopt(alike, None)


@pytest.mark.parametrize("down", ["conv", "block", "pool"])
@pytest.mark.parametrize("shape", [{}, {"classes": 3}, {"low": 3}, {"outputs": 3}])
def test_our_own_nets_are_read_back_from_openais_names(down, shape):
    """Whatever the layout says of a net's tensors builds that net again."""
    up = "nearest" if down == "pool" else down
    config = SMALL | {"down": down, "up": up} | shape
    with shapes_only():
        net = network(config)
    ours = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    back = {own: theirs for theirs, own in openai_names(ours).items()}
    keys = {theirs: ours[own] for own, theirs in back.items()}
    found = layouts.adopt(keys, None)
    with shapes_only():
        again = network(found.config["net"])
    assert {k: tuple(v.shape) for k, v in again.state_dict().items()} == ours
    assert found.rename == {theirs: own for own, theirs in back.items()}


def openai_names(ours):
    """OpenAI's name -> ours, written independently of the layout: blocks are counted as they are met."""
    inside = {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "embed": "emb_layers.1",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "shortcut": "skip_connection",
    }
    seen = {"norm": "norm", "qkv": "qkv", "out": "proj_out"}
    named = {}

    def give(own, theirs, table):
        for key in ours:
            if key.startswith(f"{own}."):
                module, _, kind = key[len(own) + 1 :].rpartition(".")
                named[f"{theirs}.{table.get(module, module)}.{kind}".replace("..", ".")] = key

    outer = {"time.first": "time_embed.0", "time.second": "time_embed.2", "label": "label_emb"}
    outer |= {"norm": "out.0", "conv": "out.2", "descent.stem": "input_blocks.0.0"}
    for own, theirs in outer.items():
        give(own, theirs, {})
    count = 1
    for level in range(3):
        give(f"descent.levels.{level}.blocks.0", f"input_blocks.{count}.0", inside)
        give(f"descent.levels.{level}.attentions.0", f"input_blocks.{count}.1", seen)
        step = f"descent.levels.{level}.resample"
        table = inside if f"{step}.norm1.weight" in ours else {"conv": "op"}
        give(step, f"input_blocks.{count + 1}.0", table)
        count += 2
    for number, part in enumerate(("first", "attention", "second")):
        table = seen if part == "attention" else inside
        give(f"descent.middle.{part}", f"middle_block.{number}", table)
    for place in range(6):
        level, number = 2 - place // 2, place % 2
        give(f"ascent.levels.{level}.blocks.{number}", f"output_blocks.{place}.0", inside)
        give(f"ascent.levels.{level}.attentions.{number}", f"output_blocks.{place}.1", seen)
        if number == 1 and level:
            at = 2 if level == 2 else 1
            step = f"ascent.levels.{level}.resample"
            table = inside if f"{step}.norm1.weight" in ours else {}
            give(step, f"output_blocks.{place}.{at}", table)
    return named


def test_other_checkpoints_are_not_claimed():
    keys, config = listed("guided_diffusion_64_classcond")
    assert layouts.adopt({"w": (1, 2)}, None) is None
    assert layouts.adopt({f"model.diffusion_model.{k}": v for k, v in keys.items()}, config) is None
    keys, config = listed("ddpm_cifar10_32_unet")
    assert layouts.adopt(keys, config | {"_class_name": "UNet2DConditionModel"}) is None
    with pytest.raises(ForeignError, match=r"without its config\.json"):
        layouts.adopt(keys, None)
    cut = {k: v for k, v in keys.items() if not k.startswith("conv_out")}
    with pytest.raises(ForeignError, match="lacks conv_out"):
        layouts.adopt(cut, config)


def test_channels_that_no_picture_has_are_refused():
    keys, config = listed("guided_diffusion_64_classcond")
    with pytest.raises(ForeignError, match="sees 3 channels and gives 6, of pictures with 5"):
        layouts.adopt(keys, config | {"in_channels": 5})


@pytest.mark.parametrize("pool", ["attention", "adaptive", "spatial", "spatial_v2"])
def test_every_head_of_a_classifier_learns(pool):
    torch.manual_seed(0)
    options = {"attention": {"levels": [1], "head_channels": 4}, "residual": {"groups": 4}}
    net = NoisyClassifier(3, 5, [8, 12], 1, pool=pool, size=16, **options)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.3)
    x = torch.randn(2, 3, 16, 16, requires_grad=True)
    logits = net(x, torch.tensor([1.0, 900.0]))
    assert logits.shape == (2, 5)
    logits.log_softmax(1)[:, 0].sum().backward()
    assert [name for name, each in net.named_parameters() if each.grad is None] == []
    assert x.grad.abs().amax((1, 2, 3)).gt(0).all()
    if pool == "attention":
        with pytest.raises(ValueError, match="maps of 64 positions, got 16"):
            net(torch.randn(1, 3, 8, 8), torch.tensor([1.0]))
