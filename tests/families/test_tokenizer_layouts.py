"""Open-MAGVIT2, OpenAI's dVAE and DALLE-pytorch's DiscreteVAE: their nets and their layouts."""

import pytest
import torch
from safetensors.torch import save_file

from zoo.errors import ForeignError, Unsupported
from zoo.foreign import open_checkpoint
from zoo.foreign_models import renamed
from zoo_vq import layouts
from zoo_vq.dvae import logit_laplace, squeeze, stretch
from zoo_vq.magvit2 import depth_to_space
from zoo_vq.net import tokenizer
from zoo_vq.parity.adopted import adopted

HALF = {"kind": "magvit2", "channels": 3, "latent": 5, "widths": [4, 8], "blocks": 2, "groups": 4}
MAGVIT2 = {
    "encoder": HALF,
    "decoder": HALF,
    "quantizer": {"kind": "lookup-free", "bits": 5},
    "quant_conv": False,
    "post_quant_conv": False,
}
DVAE = {
    "encoder": {"kind": "dvae", "channels": 1, "latent": 16, "hidden": 4, "blocks": 2},
    "decoder": {"kind": "dvae", "channels": 1, "latent": 16, "hidden": 4, "blocks": 2, "start": 3},
    "quantizer": {"kind": "gumbel", "codes": 16, "width": None},
    "quant_conv": False,
    "post_quant_conv": False,
}
SIDE = {"kind": "discrete-vae", "channels": 2, "hidden": 6, "layers": 2, "blocks": 1}
SIDE |= {"means": [0.4, 0.6], "deviations": [0.5, 0.25]}
DISCRETE = {
    "encoder": SIDE | {"latent": 12},
    "decoder": SIDE | {"latent": 7},
    "quantizer": {"kind": "gumbel", "codes": 12, "width": 7},
    "quant_conv": False,
    "post_quant_conv": False,
}


def made(config):
    torch.manual_seed(0)
    return tokenizer(config).eval()


def pictures(channels, size=16):
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(("config", "factor"), [(MAGVIT2, 2), (DVAE, 8), (DISCRETE, 4)])
def test_pictures_become_tokens_and_pictures(config, factor):
    net = made(config)
    x = pictures(net.channels)
    tokens = net.tokens(x)
    assert tokens.dtype == torch.int64
    assert tokens.shape == (2, 16 // factor, 16 // factor)
    back = net.decode(net.lookup(tokens))
    assert back.shape == x.shape
    assert torch.equal(net(x)[1].tokens, tokens)


@pytest.mark.parametrize("config", [MAGVIT2, DVAE, DISCRETE])
def test_training_reaches_every_parameter(config):
    net = made(config).train()
    reconstruction, quantized = net(pictures(net.channels))
    (reconstruction.square().mean() + quantized.loss).backward()
    assert [k for k, v in net.named_parameters() if v.grad is None] == []


@pytest.mark.parametrize("shared", [False, True])
def test_residual_tokens_have_an_axis_of_their_own(shared):
    stack = {"kind": "residual", "depth": 3, "shared": shared, "codes": 9, "dim": 5}
    net = made(MAGVIT2 | {"quantizer": stack})
    tokens = net.tokens(pictures(3))
    assert tokens.shape == (2, 8, 8, 3)
    torch.testing.assert_close(net.lookup(tokens), net(pictures(3))[1].codes)


def test_depth_to_space_takes_rows_then_columns_then_channels():
    x = torch.arange(8.0).view(1, 8, 1, 1)
    assert depth_to_space(x)[0].tolist() == [[[0, 2], [4, 6]], [[1, 3], [5, 7]]]


def test_dvae_pixels_map_inside_the_open_interval_and_back():
    x = torch.linspace(-1, 1, 11)
    torch.testing.assert_close(squeeze(x), 0.8 * (x + 1) / 2 + 0.1)
    torch.testing.assert_close(stretch(squeeze(x)), x)


def test_the_logit_laplace_density_integrates_to_one():
    y = torch.linspace(0, 1, 200_001, dtype=torch.float64)[1:-1]
    images = (y - 0.5) / 0.4  # squeeze's inverse, without the clamp
    for mean, scale in ((0.0, 1.0), (1.5, 0.3), (-2.0, 0.7)):
        log_p = logit_laplace(images, torch.tensor(mean), torch.tensor(scale).double().log())
        assert torch.trapezoid(log_p.exp(), y) == pytest.approx(1, abs=2e-3)


def test_averaged_weights_are_taken_where_there_are_some(tmp_path):
    half = HALF | {"groups": 32, "widths": [32, 64]}
    net = made(MAGVIT2 | {"encoder": half, "decoder": half})
    raw = {key: value + 1 for key, value in net.state_dict().items()}
    averaged = {f"model_ema.{k.replace('.', '')}": v for k, v in net.state_dict().items()}
    extra = {"model_ema.decay": torch.tensor(0.9), "loss.discriminator.weight": torch.zeros(1)}
    save_file(raw | averaged | extra, tmp_path / "both.safetensors")
    save_file(raw, tmp_path / "raw.safetensors")
    for name, wanted in (("both", net.state_dict()), ("raw", raw)):
        _, found = adopted(open_checkpoint(tmp_path / f"{name}.safetensors"))
        assert found.state_dict().keys() == wanted.keys()
        assert all(torch.equal(v, wanted[k]) for k, v in found.state_dict().items())


def test_a_configuration_of_another_net_is_refused():
    keys = {k: tuple(v.shape) for k, v in made(MAGVIT2).state_dict().items()}
    options = {"ddconfig": {"z_channels": 9}}
    with pytest.raises(ForeignError, match="z_channels is 9, the tensors say 5"):
        layouts.adopt(keys, {"init_args": options})


def halves(net, folder):
    for half in ("encoder", "decoder"):
        start = f"{half}."
        mine = {k: v for k, v in net.state_dict().items() if k.startswith(start)}
        state = {k.removeprefix(start): v for k, v in mine.items()}
        save_file(state, folder / f"{half}.safetensors")


def test_two_halves_in_a_folder_are_one_tokenizer(tmp_path):
    net = made(DVAE)
    halves(net, tmp_path)
    foreign = open_checkpoint(tmp_path)
    adoption, found = adopted(foreign)
    assert adoption.layout == "openai-dvae"
    assert renamed(foreign, adoption, "here").keys() == net.state_dict().keys()
    x = pictures(1)
    tokens = found.tokens(x)
    assert torch.equal(tokens, net.tokens(x))
    assert torch.equal(found.decode(found.lookup(tokens)), net.decode(net.lookup(tokens)))


def test_half_a_tokenizer_says_what_it_lacks(tmp_path):
    net = made(DVAE)
    halves(net, tmp_path)
    adoption, encoder = adopted(open_checkpoint(tmp_path / "encoder.safetensors"))
    assert "decoder is not in this file" in adoption.notes
    tokens = encoder.tokens(pictures(1))
    assert torch.equal(tokens, net.tokens(pictures(1)))
    with pytest.raises(Unsupported, match="holds no decoder"):
        encoder.decode(encoder.lookup(tokens))
    _, decoder = adopted(open_checkpoint(tmp_path / "decoder.safetensors"))
    assert torch.equal(decoder.decode(decoder.lookup(tokens)), net.decode(net.lookup(tokens)))


def test_hparams_inside_the_file_give_what_shapes_do_not(tmp_path):
    net = made(DISCRETE)
    state = net.state_dict()
    state["codebook.weight"] = state.pop("quantizer.codebook")
    hparams = {"image_size": 64, "num_tokens": 12, "codebook_dim": 7, "temperature": 0.5}
    hparams["normalization"] = [[0.4, 0.6], [0.5, 0.25]]
    torch.save({"hparams": hparams, "weights": state}, tmp_path / "vae.pt")
    adoption, found = adopted(open_checkpoint(tmp_path / "vae.pt"))
    assert (adoption.image, adoption.latent, adoption.codes) == ((2, 64, 64), (16, 16), 12)
    assert adoption.config["quantizer"]["temperature"] == 0.5
    x = pictures(2)
    torch.testing.assert_close(found.encoder.normalise(x)[:, 1], ((x[:, 1] + 1) / 2 - 0.6) / 0.25)
    torch.testing.assert_close(found.decoder.restore(found.encoder.normalise(x)), x)
    assert torch.equal(found.tokens(x), net.tokens(x))
