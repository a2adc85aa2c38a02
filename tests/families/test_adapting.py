"""Adapters fit every family: only what was put on moves, it does move, and at the start nothing is changed."""

import copy

import pytest
import torch
from test_dalle_contract import SUBJECTS as DALLE
from test_diffusion_contract import SUBJECTS as DIFFUSION
from test_flow_contract import SUBJECTS as FLOW
from test_gan_contract import SUBJECTS as GAN
from test_ldm_contract import subject as ldm
from test_pixel_contract import SUBJECTS as PIXEL
from test_vae_contract import SUBJECTS as VAE
from test_vq_contract import SUBJECTS as VQ

from zoo.train.recipe import Tune
from zoo.train.tuning import chosen, moving, prepare

EVERY = {
    "dalle": DALLE, "diffusion": DIFFUSION, "flow": FLOW, "gan": GAN, "pixel": PIXEL, "vae": VAE,
    "vq": VQ, "ldm": {"text": ldm("text")},
}  # fmt: skip


@pytest.mark.parametrize("family", EVERY)
def test_only_the_adapter_moves(family):
    pytest.importorskip("peft", reason="needs the extra `finetune`")
    subject = next(iter(EVERY[family].values()))
    parts = {id(part): part for part in subject.model.parts.values()}
    net = copy.deepcopy(subject.model.net, parts)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert chosen(net, Tune("lora"))  # without being told
    tune = Tune("lora", 2, 2.0, ("*",))
    prepare(net, tune, 0)
    plugin = subject.plugin
    objectives = moving(net, plugin.call("objectives", net=net, recipe=subject.recipe), tune)
    images = subject.images.tensor
    batch = {
        "images": images,
        "labels": torch.zeros(len(images), dtype=torch.int64),
        "captions": ["noto: red apple"] * len(images),
    }
    own = {id(each): name for name, each in net.named_parameters()}
    for objective in objectives:
        named = [own[id(each)] for each in objective.parameters if id(each) in own]
        assert all("lora_" in name for name in named)
        torch.manual_seed(0)
        loss, _ = objective.loss(batch, 0)
        if named:
            loss.backward()
            moved = [name for name, each in net.named_parameters() if each.grad is not None]
            assert moved
            assert all("lora_" in name for name in moved)
    for name, value in net.state_dict().items():
        if "lora_" not in name:
            assert torch.equal(value, before[name.replace(".base_layer", "")]), name
