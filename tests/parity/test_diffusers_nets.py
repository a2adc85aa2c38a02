"""diffusers' UNet2DModel and DiT, run side by side on random weights of many configurations."""

import pytest
import torch
from diffusers import DiTTransformer2DModel, UNet2DModel  # in the test extra: an error, not a skip

from zoo import weights
from zoo.bare import shapes_only
from zoo.foreign import open_checkpoint
from zoo.foreign_models import renamed
from zoo_diffusion import layouts
from zoo_diffusion.networks import network

DOWN, UP = "DownBlock2D", "UpBlock2D"
UNETS = {
    "ddpm": {"attention_head_dim": None, "downsample_padding": 0, "freq_shift": 1},
    "wide heads": {"attention_head_dim": 16},
    "scale and shift": {"resnet_time_scale_shift": "scale_shift", "num_class_embeds": 5},
    "a middle norm of its own": {"attn_norm_num_groups": 2, "mid_block_scale_factor": 2.0},
    "labels like times": {"class_embed_type": "timestep", "act_fn": "mish"},
    "labels as vectors": {"class_embed_type": "identity", "center_input_sample": True},
    "score": {"time_embedding_type": "fourier", "add_attention": False},
    "learned times": {"time_embedding_type": "learned", "num_train_timesteps": 50},
    "no middle": {"mid_block_type": None, "time_embedding_dim": 40, "layers_per_block": 2},
    "residual steps": {
        "down_block_types": ["ResnetDownsampleBlock2D", f"Attn{DOWN}"],
        "up_block_types": [UP, "ResnetUpsampleBlock2D"],
    },
    "residual steps of attention": {
        "down_block_types": [f"Attn{DOWN}", DOWN],
        "up_block_types": [f"Attn{UP}", UP],
        "downsample_type": "resnet",
        "upsample_type": "resnet",
    },
    "not square": {"sample_size": [8, 12], "in_channels": 1, "out_channels": 2, "act_fn": "gelu"},
}
DITS = {
    "published": {},
    "pixels": {"patch_size": 4, "in_channels": 3, "attention_bias": False},
    "gated": {"activation_fn": "geglu", "norm_elementwise_affine": True, "norm_eps": 1e-3},
    "sigmoid": {"activation_fn": "geglu-approximate", "out_channels": 4},
    "swish": {"activation_fn": "swiglu", "dropout": 0.1},
}


def drawn(model):
    """Every parameter drawn, zero-initialised ones too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            fan = parameter[0].numel() if parameter.ndim > 1 else 25
            parameter.normal_(0, fan**-0.5, generator=generator)
            if "norm" in name and name.endswith("weight") and parameter.ndim == 1:
                parameter.add_(1)
    return model.eval()


def adopted(folder):
    foreign = open_checkpoint(folder)
    found = layouts.adopt(foreign.keys, foreign.config)
    with shapes_only():
        net = network(found.config["net"])
    weights.assign(net, renamed(foreign, found, str(folder)), str(folder))
    return found, net


@torch.no_grad()
@pytest.mark.parametrize("options", UNETS.values(), ids=[name.replace(" ", "-") for name in UNETS])
def test_a_unet_gives_the_same(options, tmp_path):
    small = {"sample_size": 8, "block_out_channels": [16, 24], "layers_per_block": 1}
    small |= {"down_block_types": [DOWN, f"Attn{DOWN}"], "up_block_types": [f"Attn{UP}", UP]}
    reference = drawn(UNet2DModel(**small | {"norm_num_groups": 8} | options))
    reference.save_pretrained(tmp_path)
    found, net = adopted(tmp_path)
    channels, height, width = found.image
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, channels, height, width, generator=generator)
    t, label = torch.tensor([3, 49]), None
    if "num_class_embeds" in options:
        label = torch.tensor([1, 4])
    elif options.get("class_embed_type") == "timestep":
        label = torch.tensor([7, 40])
    elif "class_embed_type" in options:
        label = torch.randn(2, 64, generator=generator)
    want = reference(x, t, label).sample
    got = net(x, t, {} if label is None else {"label": label})
    torch.testing.assert_close(got, want, atol=2e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("options", DITS.values(), ids=list(DITS))
def test_a_dit_gives_the_same(options, tmp_path):
    small = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "sample_size": 8}
    reference = drawn(DiTTransformer2DModel(**small | {"num_embeds_ada_norm": 10} | options))
    reference.save_pretrained(tmp_path)
    found, net = adopted(tmp_path)
    x = torch.randn(2, *found.image, generator=torch.Generator().manual_seed(1))
    t, label = torch.tensor([3, 949]), torch.tensor([1, 10])
    got = net(x, t, {"label": label})
    torch.testing.assert_close(got, reference(x, t, label).sample, atol=2e-5, rtol=1e-5)


@torch.no_grad()
def test_older_attention_names_are_the_same_net(tmp_path):
    options = {"block_out_channels": [16, 24], "norm_num_groups": 8, "sample_size": 8}
    options |= {"down_block_types": [DOWN, f"Attn{DOWN}"], "up_block_types": [f"Attn{UP}", UP]}
    reference = drawn(UNet2DModel(**options))
    reference.save_pretrained(tmp_path, safe_serialization=False)
    path = tmp_path / "diffusion_pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for new, name in old.items():
        state = {key.replace(f".{new}.", f".{name}."): value for key, value in state.items()}
    torch.save(state, path)
    found, net = adopted(tmp_path)
    assert found.layout == "diffusers-unet2d"
    x, t = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([5])
    torch.testing.assert_close(net(x, t), reference(x, t).sample, atol=2e-5, rtol=1e-5)


def test_a_pipelines_folder_brings_its_scheduler(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "scheduler").mkdir()
    options = {"block_out_channels": [16, 24], "norm_num_groups": 8, "sample_size": 8}
    options |= {"down_block_types": [DOWN, DOWN], "up_block_types": [UP, UP]}
    UNet2DModel(**options).save_pretrained(tmp_path / "unet")
    (tmp_path / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}')
    said = '{"_class_name": "DDPMScheduler", "beta_schedule": "squaredcos_cap_v2"}'
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(said)
    for folder in (tmp_path, tmp_path / "unet"):
        found, _ = adopted(folder)
        assert found.config["process"]["schedule"] == "cosine"
        assert found.config["process"]["variance"] == "posterior"
