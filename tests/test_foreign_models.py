"""A stranger's checkpoint is adopted by the one family that knows it, or refused with reasons."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

import zoo
from zoo import hookimpl, plugins
from zoo.adoption import Adoption
from zoo.errors import ForeignError, PluginError, UnknownFamily, WeightsError
from zoo.weights import read

STATE = {
    "module.kernel": torch.arange(6.0, dtype=torch.float16).reshape(1, 1, 2, 3),  # (h, w, i, o)
    "module.bias": torch.ones(3, dtype=torch.float16),
    "loss.logvar": torch.zeros(1),
}


class Conv:
    """One convolution; adopts the flax layout of itself."""

    def __init__(self, **changes):
        self.changes = changes

    @hookimpl
    def build(self, config):
        return torch.nn.Conv2d(2, 3, config["kernel"])

    @hookimpl
    def encode(self, net, images):
        return net(images)

    @hookimpl
    def adopt(self, keys, config):
        if keys.get("module.kernel") != (1, 1, 2, 3):
            return None
        adoption = {
            "layout": "flax-conv",
            "config": {"kernel": (config or {}).get("size", 1)},
            "rename": {"module.kernel": "weight", "module.bias": "bias"},
            "transforms": {"weight": "hwio"},
            "dropped": ["loss.*"],
            "image": (2, 4, 4),
            "latent": (3, 4, 4),
        }
        return Adoption(**{**adoption, **self.changes})


@pytest.fixture
def install(monkeypatch):
    """Make these plugins the installed families."""

    def install(**found):
        made = {
            name: plugins.register(name, plugin, f"zoo-{name} 1") for name, plugin in found.items()
        }
        for module in ("zoo.recognition", "zoo.loading"):
            monkeypatch.setattr(f"{module}.family", made.get)
        monkeypatch.setattr("zoo.recognition.families", lambda: sorted(made))

    return install


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "Old Model.safetensors"
    save_file(STATE, path)
    return path


def test_a_checkpoint_is_loaded_by_its_path(install, checkpoint):
    install(conv=Conv(), other=SimpleNamespace(build=hookimpl(lambda config: None)))
    model = zoo.load(checkpoint)
    assert model.card.title == "old-model@0.0.0"
    assert model.card.source == {"layout": "flax-conv", "file": "Old Model.safetensors"}
    assert model.net.weight.dtype == torch.float32
    assert model.net.weight[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert model.encode(torch.zeros(1, 2, 4, 4)).shape == (1, 3, 4, 4)


def test_its_configuration_is_given_to_the_family(install, checkpoint):
    install(conv=Conv())
    (checkpoint.parent / "config.json").write_text(json.dumps({"size": 2}))
    with pytest.raises(WeightsError, match=r"weight: \(3, 2, 1, 1\) in the file, \(3, 2, 2, 2\)"):
        zoo.load(checkpoint)


def test_it_is_converted_once_and_found_by_name(install, checkpoint):
    install(conv=Conv())
    folder = zoo.convert(checkpoint, "conv-one", license="mit")
    card = zoo.show("conv-one")
    assert (card.version, card.license, card.hooks) == ("1.0.0", "mit", ("encode",))
    assert len(card.source["sha256"]) == 64
    assert read(folder / "model.safetensors")["weight"].dtype == torch.float16
    again, first = zoo.load("conv-one"), zoo.load(checkpoint)
    assert torch.equal(again.net.weight, first.net.weight)
    with pytest.raises(ForeignError, match=r"holds a model already, and a version never changes"):
        zoo.convert(checkpoint, "conv-one")


def test_it_is_stored_as_asked(install, checkpoint, tmp_path):
    install(conv=Conv())
    folder = zoo.convert(checkpoint, "wide", tmp_path / "wide", dtype=torch.float64)
    assert read(folder / "model.safetensors")["weight"].dtype == torch.float64


def test_nobody_knows_it(install, checkpoint):
    install(other=Conv(), conv=SimpleNamespace(build=hookimpl(lambda config: None)))
    save_file({"a.b": torch.zeros(1)}, checkpoint)
    words = r"no installed family recognises .*\(asked: other\)\. It holds 1 tensors: a\.b;.*config"
    with pytest.raises(ForeignError, match=words):
        zoo.load(checkpoint)


def test_two_families_claim_it(install, checkpoint):
    install(one=Conv(), two=Conv(layout="flax-2d"))
    words = r"one \(zoo-one 1: flax-conv\) and two \(zoo-two 1: flax-2d\) all claim .*family='one'"
    with pytest.raises(ForeignError, match=words):
        zoo.load(checkpoint)
    assert zoo.load(checkpoint, family="two").card.source["layout"] == "flax-2d"


def test_a_family_that_is_not_installed(checkpoint):
    with pytest.raises(UnknownFamily, match="three"):
        zoo.load(checkpoint, family="three")


def test_a_model_of_the_zoo_says_its_family_itself():
    with pytest.raises(UnknownFamily, match="is for other projects' checkpoints"):
        zoo.load("vqgan-f16", family="vq")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"dropped": ()}, ForeignError, r"1 unknown in the file \(loss\.logvar\)"),
        (
            {"rename": {"module.kernel": "weight", "module.bia": "bias"}, "dropped": ["*"]},
            ForeignError,
            r"1 that should be there are not \(module\.bia\)",
        ),
        ({"transforms": {"weight": "flip"}}, PluginError, r"flax-conv: unknown transform 'flip'"),
        ({"transforms": {}}, WeightsError, r"weight: \(1, 1, 2, 3\) in the file"),
        (
            {"rename": {"module.kernel": "weight"}, "dropped": ["loss.*", "*.bias"]},
            WeightsError,
            r"1 missing from the file:\n    bias",
        ),
    ],
)
def test_an_adoption_that_does_not_add_up(install, checkpoint, changes, error, words):
    install(conv=Conv(**changes))
    with pytest.raises(error, match=words):
        zoo.load(checkpoint)


def test_a_tensor_that_is_not_wanted_is_left_out_if_it_is_named(install, checkpoint, tmp_path):
    install(conv=Conv(dropped=()))
    with pytest.raises(ForeignError, match=r"loss\.logvar.*drop=\[\.\.\.\], `zoo convert --drop`"):
        zoo.load(checkpoint)
    assert zoo.load(checkpoint, drop=["loss.*"]).net.bias.tolist() == [1, 1, 1]
    folder = zoo.convert(checkpoint, "less", tmp_path / "less", drop=["loss.logvar"])
    assert set(read(folder / "model.safetensors")) == {"weight", "bias"}
    with pytest.raises(ForeignError, match=r"has no tensor 'los\.\*' to leave out; it has loss"):
        zoo.load(checkpoint, drop=["los.*"])
    with pytest.raises(ForeignError, match="is a model of the zoo, whose weights its card"):
        zoo.load(folder, drop=["loss.*"])


def broken_families():
    def stumbles(keys):
        raise KeyError("encoder.0")

    return {
        "odd": SimpleNamespace(build=hookimpl(lambda config: 1), adopt=hookimpl(lambda keys: {})),
        "stumbling": SimpleNamespace(build=hookimpl(lambda config: 1), adopt=hookimpl(stumbles)),
    }


BROKEN = (
    r"zoo-odd 1: adopt answered dict, not a zoo\.Adoption.*"
    r"zoo-stumbling 1: adopt of the family 'stumbling' raised KeyError: 'encoder\.0'"
)


def test_answers_that_are_no_adoption_are_named(install, checkpoint):
    install(**broken_families())
    with pytest.raises(ForeignError, match=f"no installed family .* Broken: {BROKEN}"):
        zoo.load(checkpoint)


def test_a_broken_family_keeps_no_other_from_answering(install, checkpoint):
    install(conv=Conv(), **broken_families())
    with pytest.warns(UserWarning, match=f"A family was not asked: {BROKEN}"):
        assert zoo.load(checkpoint).family == "conv"


def test_weights_that_are_not_finite(install, checkpoint):
    install(conv=Conv())
    save_file({**STATE, "module.bias": torch.full((3,), float("nan"))}, checkpoint)
    with pytest.raises(WeightsError, match=r"1 tensors hold NaN or infinity: bias"):
        zoo.load(checkpoint)
