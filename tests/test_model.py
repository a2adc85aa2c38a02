from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo import Images, LogProb, plugins
from zoo.card import Card, Density
from zoo.errors import (
    CardError,
    ImageError,
    PluginError,
    RequestError,
    UnknownFamily,
    UnknownVersion,
    Unsupported,
    WeightsError,
)
from zoo.model import Model, build

CARD = Card(
    name="gauss",
    family="pixelgauss",
    version="1.0.0",
    license="mit",
    config={"classes": 3, "shape": [3, 8, 8]},
    image=(3, 8, 8),
    latent=(3, 8, 8),
    latent_kind="continuous",
    hooks=("condition", "encode", "decode", "sample", "log_prob"),
    log_prob=Density("exact", "continuous pixels"),
    sampling={"temperature": 0.5},
)


@pytest.fixture
def installed(pixelgauss, monkeypatch):
    """The stranger's family under its name, as an entry point would give it."""
    real = plugins.family

    def family(name):
        return pixelgauss if name == "pixelgauss" else real(name)

    monkeypatch.setattr("zoo.loading.family", family)
    return pixelgauss


@pytest.fixture
def model(installed):
    torch.manual_seed(0)
    return Model(CARD, build(installed, CARD, {}, meta=False).eval(), installed)


@pytest.fixture
def folder(model, tmp_path):
    return model.save(tmp_path / "gauss")


def images(count=2):
    return torch.linspace(-1, 1, count * 3 * 64).reshape(count, 3, 8, 8)


def test_a_saved_model_loads_and_answers_the_same(model, folder):
    again = zoo.load(folder)
    assert again.card.files["model.safetensors"].size > 0
    assert torch.equal(again.sample(2, seed=1), model.sample(2, seed=1))
    assert torch.equal(again.encode(images()), model.encode(images()))
    assert torch.equal(again.log_prob(images()).nats, model.log_prob(images()).nats)
    assert not again.net.training
    assert str(again) == (
        "Model gauss@1.0.0 (family pixelgauss): 3x8x8 -> 3x8x8 continuous, 0.0M parameters, "
        "float32 on cpu"
    )


def test_a_model_saved_again_keeps_its_other_files(folder, tmp_path):
    from zoo.saving import described, write_card

    (folder / "notes").mkdir()
    (folder / "notes" / "recipe.toml").write_text("steps = 3\n")
    card = Card.read(folder)
    files = {**card.files, "notes/recipe.toml": described(folder / "notes" / "recipe.toml")}
    write_card(replace(card, files=files), folder)
    out = zoo.load(folder).save(tmp_path / "other", version="1.1.0", name="gauss-two")
    assert (out / "notes" / "recipe.toml").read_text() == "steps = 3\n"
    assert zoo.load(out).card.title == "gauss-two@1.1.0"


def test_every_file_of_the_card_is_checked_at_load(folder):
    from zoo.saving import described, write_card

    recipe = folder / "recipe.toml"
    recipe.write_text("steps = 3\n")
    card = Card.read(folder)
    write_card(replace(card, files={**card.files, "recipe.toml": described(recipe)}), folder)
    zoo.load(folder)
    recipe.write_text("steps = 4\n")
    with pytest.raises(WeightsError, match=r"recipe\.toml: its sha256 is"):
        zoo.load(folder)
    recipe.unlink()
    with pytest.raises(
        WeightsError, match=r"recipe\.toml: the card names this file, but it cannot"
    ):
        zoo.load(folder)


def test_dtype_is_chosen_at_load(folder):
    model = zoo.load(folder, dtype=torch.float64)
    assert model.dtype == model.encode(images()).dtype == torch.float64
    assert model.to(dtype=torch.float32).dtype == torch.float32


def test_encode_takes_whatever_holds_pictures(model, tmp_path):
    Image.new("RGB", (30, 20), "red").save(tmp_path / "red.png")
    red = torch.tensor([1.0, -1, -1]).reshape(1, 3, 1, 1).expand(1, 3, 8, 8)
    want = model.encode(red)
    array = np.zeros((8, 8, 3), np.uint8)
    array[..., 0] = 255
    for source in (red[0], array, Image.open(tmp_path / "red.png"), tmp_path / "red.png"):
        assert torch.allclose(model.encode(source), want)
    assert model.encode([str(tmp_path / "red.png")] * 2).shape == (2, 3, 8, 8)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (torch.zeros(1, 1, 8, 8), r"gauss takes images 3x8x8 \(C, H, W\); got 1x8x8\. Resize"),
        (torch.zeros(1, 3, 8, 9), r"got 3x8x9"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), r"floating point"),
        (torch.full((1, 3, 8, 8), 3.0), r"must lie in \[-1, 1\]"),
    ],
)
def test_wrong_images_are_refused_before_the_family_sees_them(model, given, words):
    for call in (model.encode, model.log_prob):
        with pytest.raises(ImageError, match=words):
            call(given)


def test_other_sizes_are_taken_where_the_card_says_so(model):
    from zoo.checking import images_for

    card = replace(CARD, multiple=4)
    assert images_for(card, torch.zeros(1, 3, 12, 16)).shape == (1, 3, 12, 16)
    with pytest.raises(ImageError, match=r"or other sizes with sides that are multiples of 4; got"):
        images_for(card, torch.zeros(1, 3, 12, 15))


def test_wrong_latents_are_refused(model):
    with pytest.raises(ImageError, match=r"gauss decodes latents \(B, 3x8x8\), got \(3, 8, 8\)"):
        model.decode(torch.zeros(3, 8, 8))
    with pytest.raises(ImageError, match=r"a tensor of latents .* got list"):
        model.decode([1])


def test_wrong_tokens_are_refused():
    from zoo.checking import latents_for

    card = replace(CARD, latent=(2, 2), latent_kind="tokens", codes=10)
    assert latents_for(card, torch.full((1, 2, 2), 9, dtype=torch.int32)).dtype == torch.int64
    with pytest.raises(ImageError, match=r"gauss has tokens 0 \.\. 9; got 0 \.\. 10"):
        latents_for(card, torch.tensor([[[0, 1], [2, 10]]]))
    with pytest.raises(ImageError, match=r"tokens, which are int64; got torch\.float32"):
        latents_for(card, torch.zeros(1, 2, 2))


def test_samples_are_images_and_follow_their_seed(model):
    samples = model.sample(3, seed=4)
    assert isinstance(samples, Images)
    assert torch.equal(samples[:2], model.sample(2, seed=4))
    assert not torch.equal(model.sample(2), model.sample(2))


def test_the_cards_sampling_options_are_the_defaults(model):
    half = model.sample(2, seed=0, temperature=0.5)
    assert torch.equal(model.sample(2, seed=0), half)
    assert not torch.equal(model.sample(2, seed=0, temperature=1.0), half)


def test_an_unknown_option_or_count_is_refused(model):
    with pytest.raises(RequestError, match=r"'temprature'.*Did you mean 'temperature'"):
        model.sample(1, temprature=2.0)
    with pytest.raises(RequestError, match=r"count is how many images.*got 0"):
        model.sample(0)


def test_condition_gives_a_new_model_and_leaves_the_old(model):
    one, two = model.condition(label=1), model.condition(label=2)
    assert one.net is model.net
    means = [float(each.log_prob(images()).nats[0]) for each in (model, one, two)]
    assert len({*means}) == 3
    assert float(model.log_prob(images()).nats[0]) == means[0]
    assert "given label" in repr(one)
    with pytest.raises(RequestError, match=r"'labl'\. Did you mean 'label'"):
        model.condition(labl=1)
    with pytest.raises(RequestError, match=r"label must be 0 \.\. 2, is 7"):
        model.condition(label=7)


def test_log_prob_agrees_with_torch_and_has_its_unit(model):
    said = model.condition(label=0).log_prob(images())
    normal = torch.distributions.Normal(model.net.mean[0], model.net.log_std.exp())
    want = normal.log_prob(images()).flatten(1).sum(1)
    assert isinstance(said, LogProb)
    assert torch.allclose(said.nats, want)
    assert (said.kind, said.over, said.dimensions) == ("exact", "continuous pixels", 192)


def test_the_uniform_density_is_8_bits_and_a_fair_coin_1():
    density = LogProb(torch.tensor([-12 * log(2)]), "exact", "continuous pixels", 12)
    assert density.bits_per_dim.tolist() == pytest.approx([8], abs=0.006)  # 255 steps, not 256
    assert LogProb(torch.tensor([-12 * log(2)]), "exact", "tokens", 12).bits_per_dim.item() == 1


def test_a_log_prob_of_unknown_meaning_is_not_given(model):
    mute = replace(model, card=replace(CARD, log_prob=None))
    with pytest.raises(Unsupported, match=r"does not say what its log_prob means"):
        mute.log_prob(images())


def test_no_method_builds_a_graph(model):
    assert not model.encode(images()).requires_grad
    assert not model.decode(images()).requires_grad
    assert not model.sample(1).requires_grad
    assert not model.log_prob(images()).nats.requires_grad
    torch.nn.Linear(8, 1)(model.encode(images())).sum().backward()  # not an inference tensor


def test_a_family_without_a_hook_says_so(installed, model):
    from zoo import hookimpl

    class Mute:
        @hookimpl
        def build(self, config):
            return torch.nn.Identity()

    mute = Model(CARD, torch.nn.Identity(), plugins.register("mute", Mute()))
    for call in (
        lambda: mute.encode(images()),
        lambda: mute.decode(images()),
        lambda: mute.sample(),
        lambda: mute.log_prob(images()),
        lambda: mute.condition(label=1),
    ):
        with pytest.raises(Unsupported, match=r"'mute' does not give"):
            call()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (torch.zeros(1, 8, 8, 3), r"must answer float images \(1, 3, H, W\); got .*\(1, 8, 8, 3\)"),
        (torch.full((1, 3, 8, 8), float("nan")), r"answered NaN or infinity"),
        ([1], r"answered list, not a tensor"),
    ],
)
def test_a_wrong_answer_is_the_plugins_fault(answer, words):
    from zoo import hookimpl

    class Wrong:
        @hookimpl
        def build(self, config):
            return torch.nn.Identity()

        @hookimpl
        def sample(self, count):
            return answer

    wrong = Model(
        replace(CARD, sampling={}),
        torch.nn.Identity(),
        plugins.register("wrong", Wrong(), "zoo-wrong 1"),
    )
    with pytest.raises(PluginError, match=f"zoo-wrong 1: sample of gauss@1.0.0 {words}"):
        wrong.sample()
    with pytest.raises(RequestError, match=r"'wrong'|no sampling options; got steps"):
        wrong.sample(steps=2)


def test_a_card_that_promises_too_much_is_refused(folder):
    from zoo.saving import write_card

    write_card(replace(Card.read(folder), family="nowhere"), folder)
    with pytest.raises(UnknownFamily, match="'nowhere'"):
        zoo.load(folder)


def test_a_config_that_does_not_build_is_the_cards_fault(folder):
    from zoo.saving import write_card

    card = Card.read(folder)
    write_card(replace(card, config={**card.config, "clases": 3}), folder)
    with pytest.raises(CardError, match=r"cannot build from the card's config: TypeError.*clases"):
        zoo.load(folder)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_file_is_never_loaded(folder, damage):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[:-9])
    with pytest.raises(WeightsError, match=r"model\.safetensors: .*[Ff]etch"):
        zoo.load(folder)


def test_weights_that_the_card_does_not_name_are_not_taken(folder):
    from zoo.saving import write_card

    write_card(replace(Card.read(folder), files={}), folder)
    with pytest.raises(WeightsError, match=r"names no model\.safetensors, but its net has weights"):
        zoo.load(folder)


def test_a_version_that_a_folder_does_not_hold_is_refused(folder):
    with pytest.raises(UnknownVersion, match=r"holds gauss@1\.0\.0, not version 2\.0\.0"):
        zoo.load(folder, "2.0.0")


def test_compile_names_nothing_anew(model):
    names = set(model.net.state_dict())
    assert model.compile(backend="eager") is model
    assert set(model.net.state_dict()) == names
    assert model.sample(1, seed=0).shape == (1, 3, 8, 8)
