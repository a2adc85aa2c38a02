"""Stable Diffusion as diffusers saves it, live; single files; what is missing is told."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo import rng
from zoo.errors import ForeignError, WeightsError

diffusers = pytest.importorskip("diffusers", reason="the reference")
transformers = pytest.importorskip("transformers", reason="the reference")

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MARKS = ["<|startoftext|>", "<|endoftext|>"]
PROMPTS = ["red apple", "a house"]
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
DDIM = {"clip_sample": False, "set_alpha_to_one": True, "steps_offset": 1}


def drawn(net):
    """A net whose weights are all drawn, those that begin at zero too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, each in net.named_parameters():
            if each.ndim == 1:
                each.copy_(torch.randn(each.shape, generator=generator) * 0.1 + ("norm" in name))
            else:
                bound = each[0].numel() ** -0.5
                each.copy_(torch.randn(each.shape, generator=generator) * bound)
    return net.eval()


def control_of(unet):
    return drawn(
        diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8))
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("pipeline")
    words = [*LETTERS, *(f"{each}</w>" for each in LETTERS), "re", "red</w>", *MARKS]
    tokenizer = transformers.CLIPTokenizer(
        vocab={word: index for index, word in enumerate(words)},
        merges=[("r", "e"), ("re", "d</w>")],
        model_max_length=16,
    )
    text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=len(words), hidden_size=12, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=16, bos_token_id=len(words) - 2, eos_token_id=len(words) - 1,
        )
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=12,
        attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4, 8), norm_num_groups=2, latent_channels=4, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    pipe = diffusers.StableDiffusionPipeline(
        drawn(vae), drawn(text), tokenizer, drawn(unet), diffusers.DDIMScheduler(**BETAS, **DDIM),
        None, None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(place)
    control_of(unet).save_pretrained(place / "controlnet")
    return place


SAMPLERS = {
    "ddim": (
        lambda: diffusers.DDIMScheduler(**BETAS, **DDIM),
        {"sampler": "ddim", "spacing": "leading", "offset": 1},
    ),
    "dpm++": (
        lambda: diffusers.DPMSolverMultistepScheduler(**BETAS, timestep_spacing="trailing"),
        {"sampler": "dpm++2m", "spacing": "trailing"},
    ),
    "its own": (lambda: diffusers.DDIMScheduler(**BETAS, **DDIM), {}),
    "PNDM's": (
        lambda: diffusers.PNDMScheduler(**BETAS, skip_prk_steps=True),
        {"scheduler": {"_class_name": "PNDMScheduler", "skip_prk_steps": True, **BETAS}},
    ),
    "Euler's": (
        lambda: diffusers.EulerDiscreteScheduler(**BETAS),
        {"scheduler": {"_class_name": "EulerDiscreteScheduler", **BETAS}},
    ),
}
DRAWN = [*((each, False) for each in SAMPLERS), ("ddim", True), ("dpm++", True)]


@pytest.mark.filterwarnings("ignore")  # the reference's own
@pytest.mark.parametrize(("sampler", "controlled"), DRAWN)
def test_a_pipeline_draws_the_same_picture_as_diffusers(folder, sampler, controlled):
    scheduler, options = SAMPLERS[sampler]
    model = zoo.load(folder).condition(text=PROMPTS)
    noise = rng.normal(rng.streams(torch.Generator().manual_seed(3), 2), 4, 8, 8)
    hint = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.scheduler, given = scheduler(), {}
    if controlled:
        net = diffusers.ControlNetModel.from_pretrained(folder / "controlnet")
        pipe = diffusers.StableDiffusionControlNetPipeline(
            **pipe.components, controlnet=net, requires_safety_checker=False
        )
        given = {"image": hint.expand(2, -1, -1, -1)}
        model = model.condition(hint=2 * hint - 1, control=zoo.load(folder / "controlnet"))
    pipe.set_progress_bar_config(disable=True)
    wanted = pipe(
        PROMPTS, num_inference_steps=5, guidance_scale=3.0, latents=noise, output_type="pt", **given
    ).images
    got = model.sample(2, seed=3, steps=5, guidance=3.0, **options).tensor
    assert wanted.std() > 0.02
    torch.testing.assert_close((got + 1) / 2, wanted, rtol=0, atol=1e-3)


def test_its_parts_are_models(folder):
    model = zoo.load(folder)
    assert {role: part.card.family for role, part in model.parts.items()} == {
        "autoencoder": "autoencoder",
        "text": "text",
    }
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
    with torch.no_grad():
        wanted = vae.encode(x).latent_dist.mode() * vae.config.scaling_factor
    torch.testing.assert_close(model.net.stage.latents(x), wanted, rtol=1e-4, atol=1e-5)


def test_a_converted_pipeline_keeps_its_vocabulary(folder, tmp_path):
    from zoo.foreign_models import convert

    made = convert(folder, "tiny-sd", tmp_path / "tiny-sd")
    beside = tmp_path / "tiny-sd-text@1.0.0"
    told = zoo.load(beside).net.read([("red apple", [])])
    assert told.ids[0, :3].tolist() == [54, 53, 0]  # begin, "red</w>", "a"
    assert "file: tokenizer.json" in (beside / "README.md").read_text()
    assert zoo.Card.read(made).parts["text"] == "tiny-sd-text@1.0.0"


def test_an_incomplete_pipeline_is_refused(folder, tmp_path):
    import shutil

    place = tmp_path / "broken"
    shutil.copytree(folder, place)
    weights = place / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    state.pop("mid_block.resnets.1.conv2.weight")
    save_file(state, weights)
    with pytest.raises(WeightsError, match=r"descent\.middle\.second\.conv2\.weight"):
        zoo.load(place)
    shutil.rmtree(place / "vae")
    with pytest.raises(ForeignError, match="holds no weights; the pipeline is incomplete"):
        zoo.load(place)
    index = json.loads((place / "model_index.json").read_text())
    assert "vae" in index


def test_some_of_the_averages_are_not_taken_for_all():
    from zoo_ldm.layouts.compvis import _averaged
    from zoo_ldm.layouts.unet import Net

    net = Net("compvis-unet", {}, {"a.weight": "a", "b.1.weight": "b"}, {})
    whole = {"model_ema.diffusion_modelaweight": (1,), "model_ema.diffusion_modelb1weight": (1,)}
    assert _averaged(whole, net) == dict(zip(whole, "ab", strict=True))
    assert _averaged({}, net) is None
    with pytest.raises(ForeignError, match="of 1 of the U-Net's 2 tensors"):
        _averaged(dict([next(iter(whole.items()))]), net)
