"""timm, diffusers and transformers load from a hub what was put there, to the bit.

Each runs in a process of its own with HF_ENDPOINT set before its first import, as for a user; two of
the imports take so long that they are marked: pytest -m long tests/hub/test_libraries.py
"""

import os
import subprocess
import sys

import pytest
from test_real_client import client
from wire import ask

from zoo.hub.server.store import Store
from zoo.hub.server.view import lay_out

ABOUT = """
import os, sys, torch
torch.manual_seed(0)
def equal(one, other):
    one, other = one.state_dict(), other.state_dict()
    assert one.keys() == other.keys() and one
    assert all(torch.equal(one[key], other[key]) for key in one)
"""
TIMM = """
import timm, huggingface_hub
huggingface_hub.create_repo("me/timm")
model = timm.create_model("test_vit", num_classes=3).eval()
config = {"architecture": "test_vit", "num_classes": 3}
timm.models.push_to_hf_hub(model, "me/timm", model_config=config, safe_serialization=True)
huggingface_hub.create_tag("me/timm", tag="v1")
equal(model, timm.create_model("hf-hub:me/timm", pretrained=True))
equal(model, timm.create_model("hf-hub:me/timm@v1", pretrained=True))
assert not [each for each in huggingface_hub.list_repo_files("me/timm") if each.endswith(".bin")]
"""
DIFFUSERS = """
from diffusers import AutoencoderKL, DDPMPipeline, DDPMScheduler, UNet2DModel
net = UNet2DModel(sample_size=8, in_channels=3, out_channels=3, layers_per_block=1, norm_num_groups=4,
                  block_out_channels=(8, 8), down_block_types=("DownBlock2D", "DownBlock2D"),
                  up_block_types=("UpBlock2D", "UpBlock2D"))
DDPMPipeline(net, DDPMScheduler(num_train_timesteps=10)).push_to_hub("me/ddpm")
loaded = DDPMPipeline.from_pretrained("me/ddpm")
equal(net, loaded.unet)
assert loaded.scheduler.config.num_train_timesteps == 10
equal(net, UNet2DModel.from_pretrained("me/ddpm", subfolder="unet"))
vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, sample_size=8)
vae.push_to_hub("me/vae")
equal(vae, AutoencoderKL.from_pretrained("me/vae", revision="main"))
"""
TRANSFORMERS = """
from transformers import CLIPTextConfig, CLIPTextModel
config = CLIPTextConfig(vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                        num_attention_heads=2, max_position_embeddings=8)
model = CLIPTextModel(config)
model.push_to_hub("me/clip")
equal(model, CLIPTextModel.from_pretrained("me/clip"))
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(TIMM, id="timm"),
        pytest.param(DIFFUSERS, id="diffusers", marks=pytest.mark.long),
        pytest.param(TRANSFORMERS, id="transformers", marks=pytest.mark.long),
    ],
)
def test_pushed_and_loaded_to_the_bit(shared_hub, tmp_path, script):
    client(shared_hub, tmp_path, ABOUT + script)
    assert b'"me/' in ask(shared_hub, "GET", "/api/models")[2]


SAVE = """
from safetensors.torch import save_file
save_file({key: each.clone() for key, each in MODEL.state_dict().items()}, sys.argv[1])
"""
BACK = """
import sys, torch
from safetensors.torch import load_file
def equal(one):
    saved, found = load_file(sys.argv[1]), one.state_dict()
    assert saved.keys() == found.keys() and saved
    assert all(torch.equal(saved[key], found[key]) for key in saved)
"""
TIMM_BACK = 'import timm; equal(timm.create_model("hf-hub:me/timm@v1", pretrained=True))'
DIFFUSERS_BACK = """
from diffusers import DDPMPipeline
equal(DDPMPipeline.from_pretrained("me/ddpm").unet)
"""
TRANSFORMERS_BACK = """
from transformers import CLIPTextModel
equal(CLIPTextModel.from_pretrained("me/clip"))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "model", "back"),
    [
        pytest.param(TIMM, "model", TIMM_BACK, id="timm"),
        pytest.param(DIFFUSERS, "net", DIFFUSERS_BACK, id="diffusers"),
        pytest.param(TRANSFORMERS, "model", TRANSFORMERS_BACK, id="transformers"),
    ],
)
def test_loaded_to_the_bit_from_a_folder_without_a_server(
    hub_server, tmp_path, script, model, back
):
    saved, view = str(tmp_path / "saved.safetensors"), tmp_path / "view"
    client(hub_server, tmp_path / "home", ABOUT + script + SAVE.replace("MODEL", model), saved)
    hub_server.kill()
    lay_out(Store.at(hub_server.folder), view)
    told = {
        **os.environ, "HF_HUB_CACHE": str(view), "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "other"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", BACK + back, saved], env=told, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
