"""The contract, and that a checkpoint that diffusers wrote gives what diffusers gives."""

import pytest
import torch

import zoo
from zoo.testing import CHECKS, Subject

CONFIG = {
    "encoder_block_out_channels": [8, 8, 8],
    "decoder_block_out_channels": [8, 8, 8],
    "num_encoder_blocks": [1, 1, 1],
    "num_decoder_blocks": [1, 1, 1],
}
SUBJECT = Subject(
    "taesd", CONFIG, (3, 16, 16), (4, 4, 4), "continuous", multiple=4, hooks=("encode", "decode")
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check):
    check(SUBJECT)


def test_a_checkpoint_of_diffusers_is_adopted(tmp_path):
    from diffusers import AutoencoderTiny

    theirs = AutoencoderTiny(**CONFIG).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    ours = zoo.load(tmp_path / "theirs", family="taesd")  # genzoo's own knows it too
    assert ours.family == "taesd"
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        latents = theirs.encode(images).latents
        assert torch.equal(ours.encode(images), latents)
        back = theirs.decode(latents).sample.clamp(-1, 1)
    assert torch.equal(ours.decode(latents).tensor, back)
