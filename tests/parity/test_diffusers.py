"""diffusers' VQModel, run side by side on random weights of many configurations."""

import pytest
import torch
from diffusers import VQModel  # in the test extra: a missing reference is an error, not a skip

from zoo.foreign import open_checkpoint
from zoo.foreign_models import load_foreign

DOWN, UP = "DownEncoderBlock2D", "UpDecoderBlock2D"
CONFIGS = {
    "one level": {"latent_channels": 4, "vq_embed_dim": 6},
    "amused": {
        "down_block_types": [DOWN] * 3,
        "up_block_types": [UP] * 3,
        "block_out_channels": [16, 24, 32],
        "latent_channels": 8,
        "lookup_from_codebook": True,
        "mid_block_add_attention": False,
        "force_upcast": True,
    },
    "latent diffusion": {
        "down_block_types": [DOWN] * 2,
        "up_block_types": [UP] * 2,
        "block_out_channels": [32, 16],
        "layers_per_block": 2,
        "sample_size": [32, 16],
        "norm_num_groups": 4,
    },
    "attention everywhere": {
        "down_block_types": [f"Attn{DOWN}", f"Attn{DOWN}"],
        "up_block_types": [f"Attn{UP}", f"Attn{UP}"],
        "block_out_channels": [16, 48],
        "in_channels": 1,
        "out_channels": 1,
        "act_fn": "gelu",
    },
    "movq": {
        "down_block_types": [DOWN, f"Attn{DOWN}"],
        "up_block_types": [f"Attn{UP}", UP],
        "block_out_channels": [32, 64],
        "latent_channels": 4,
        "norm_type": "spatial",
        "norm_num_groups": 16,
    },
    "movq without attention": {
        "down_block_types": [DOWN] * 2,
        "up_block_types": [UP] * 2,
        "block_out_channels": [32, 32],
        "latent_channels": 3,
        "norm_type": "spatial",
        "mid_block_add_attention": False,
    },
}


@pytest.fixture(params=CONFIGS, ids=lambda name: name.replace(" ", "-"))
def reference(request):
    """A VQModel whose every parameter was drawn, zero-initialised ones too."""
    options = {"norm_num_groups": 8, "num_vq_embeddings": 24, "sample_size": 16}
    model = VQModel(**options | CONFIGS[request.param]).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            fan = parameter[0].numel() if parameter.ndim > 1 else 25
            parameter.normal_(0, fan**-0.5, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)
    return model


@torch.no_grad()
def test_the_saved_folder_gives_the_same_tokens_and_pictures(reference, tmp_path):
    reference.save_pretrained(tmp_path)
    model = load_foreign(tmp_path)
    channels = reference.config.in_channels
    images = torch.randn(2, channels, 16, 24, generator=torch.Generator().manual_seed(1)).clamp(
        -1, 1
    )
    latents = reference.encode(images).latents
    torch.testing.assert_close(model.net.latents(images), latents, atol=2e-5, rtol=1e-5)
    codes, loss, (_, _, tokens) = reference.quantize(latents)
    quantized = model.net.quantize(latents)
    assert torch.equal(quantized.tokens.flatten(), tokens)
    torch.testing.assert_close(quantized.codes, codes)
    torch.testing.assert_close(quantized.loss, loss)
    assert torch.equal(model.encode(images), tokens.view(quantized.tokens.shape))
    pictures = reference.decode(latents).sample
    torch.testing.assert_close(model.net.decode(codes), pictures, atol=3e-5, rtol=1e-5)
    shown = model.decode(quantized.tokens)
    torch.testing.assert_close(torch.as_tensor(shown), pictures.clamp(-1, 1), atol=3e-5, rtol=1e-5)
    if not reference.config.lookup_from_codebook:
        raw = reference.decode(latents, force_not_quantize=True).sample
        torch.testing.assert_close(model.net.decode(latents), raw, atol=1e-4, rtol=1e-4)


def test_older_attention_names_are_the_same_net(tmp_path):
    reference = VQModel(
        down_block_types=[DOWN] * 2,
        up_block_types=[UP] * 2,
        block_out_channels=[16, 32],
        norm_num_groups=8,
    ).eval()
    reference.save_pretrained(tmp_path, safe_serialization=False)
    path = tmp_path / "diffusion_pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for new, name in old.items():
        state = {key.replace(f".{new}.", f".{name}."): value for key, value in state.items()}
    torch.save(state, path)
    assert any(".proj_attn." in key for key in open_checkpoint(tmp_path).keys)
    images = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        got, want = load_foreign(tmp_path).net.latents(images), reference.encode(images).latents
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
