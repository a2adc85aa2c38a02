"""Fine-tuning: adapters and parts of nets, on the real trainer, with the zoo's own small models."""

import dataclasses
import json
import signal
import subprocess
import sys
import warnings

import pytest
import torch
from PIL import Image
from torch import nn

import zoo
from zoo import finetuning, weights
from zoo.adapters import differences
from zoo.card import ADAPTER, WEIGHTS, Adapter, Card
from zoo.errors import DataError, PluginError, RequestError, Unsupported, WeightsError
from zoo.saving import described, write_card
from zoo.train import RecipeError, checkpoint
from zoo.train.estimating import described as say
from zoo.train.estimating import estimate
from zoo.train.recipe import Tune
from zoo.train.start import take
from zoo.train.tuning import prepare

BASE = "vae-mnist"
FEW = {"steps": 4, "batch": 2, "objective": {}, "sheet": False}
PLANNED = {"steps": 4, "batch": 2, "objective": {}}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Ten pictures of one colour each, and one that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(10):
        Image.new("RGB", (32, 32), (25 * index, 90, 255 - 25 * index)).save(
            folder / f"my_cat-{index}.png"
        )
    (folder / "my_cat-3.txt").write_text("a cat asleep")
    (folder / "torn.png").write_text("no picture")
    return folder


def tuned(pictures, out, method="lora", base=BASE, **settings):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*1 pictures are left out: torn\.png")
        return zoo.finetune(base, pictures, out, method, **{**FEW, **settings})


@pytest.fixture(scope="module")
def adapters(pictures, tmp_path_factory):
    """A LoRA and a DoRA of the same base."""
    pytest.importorskip("peft", reason="needs the extra `finetune`")
    home = tmp_path_factory.mktemp("adapters")
    return [
        tuned(pictures, home / "one", "lora", rank=2, alpha=4.0, sheet=True),
        tuned(pictures, home / "two", "dora", rank=3, seed=1),
    ]


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_the_change_is_the_one_that_peft_computes(method, tmp_path):
    pytest.importorskip("peft", reason="needs the extra `finetune`")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.SiLU(), nn.Flatten(), nn.Linear(20, 7)).double()
    plain = nn.Sequential(*(module for module in net))
    old = {name: value.clone() for name, value in plain.state_dict().items()}
    tune = Tune(method, 2, 3.0, ("0", "3"))  # type: ignore[arg-type]
    prepare(net, tune, 0)
    with torch.no_grad():
        for name, each in net.named_parameters():
            if "lora" in name:
                each.add_(torch.randn_like(each) / 3)
    images = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    theirs = net(images)
    learned = {}
    for name in ("0", "3"):
        layer = net.get_submodule(name)
        learned[f"{name}.a"] = layer.lora_A["tune"].weight.detach()
        learned[f"{name}.b"] = layer.lora_B["tune"].weight.detach()
        if method == "dora":
            learned[f"{name}.length"] = layer.lora_magnitude_vector["tune"].weight.detach()
    weights.save(tmp_path / ADAPTER, {key: value.contiguous() for key, value in learned.items()})
    card = Card(
        name="change", family="any", version="1.0.0", license="mit", config={}, image=(3, 4, 4),
        adapter=Adapter("base@1.0.0", (), method, 2, 3.0),
        files={ADAPTER: described(tmp_path / ADAPTER)},
    )  # fmt: skip
    fresh = nn.Sequential(nn.Conv2d(3, 5, 3), nn.SiLU(), nn.Flatten(), nn.Linear(20, 7)).double()
    fresh.load_state_dict(old)
    base = dataclasses.replace(
        zoo.load(BASE), net=fresh, card=dataclasses.replace(card, files={}, adapter=None)
    )
    with torch.no_grad():
        for name, change in differences(base, card, tmp_path).items():
            fresh.get_submodule(name).weight += change
    assert torch.allclose(fresh(images), theirs, rtol=1e-10, atol=1e-12)


def test_an_adapter_is_a_small_card_that_finds_its_base(adapters):
    for folder, method in zip(adapters, ("lora", "dora"), strict=True):
        card = zoo.show(folder)
        base = zoo.show(BASE)
        assert card.adapter.base == base.title
        assert card.adapter.weights == base.weights
        assert card.adapter.method == method
        assert card.base_model == (base.title,)
        shown = {"sheet.png"} if method == "lora" else set()
        assert set(card.files) == {ADAPTER, "recipe.toml"} | shown
        assert card.files[ADAPTER].size < base.files[WEIGHTS].size / 5
        said = [each.name.split()[-1] for each in card.metrics]
        assert said == ["before", "after"] * (len(said) // 2)
        assert card.metrics[0].name.startswith("held-out ")
        assert Card.parse(card.text()) == card
        assert 'name = "pictures0/"' in (folder / "recipe.toml").read_text()  # and no path
        if shown:  # held-out pictures, the base's, the adapter's; two are held out
            with Image.open(folder / "sheet.png") as sheet:
                assert sheet.size[1] > 3 * 28
        model, plain = zoo.load(folder), zoo.load(BASE)
        assert model.card == card
        assert not torch.equal(model.decode(torch.ones(1, 40)), plain.decode(torch.ones(1, 40)))


def test_adapters_stack_scale_and_leave_the_base_as_it_was(adapters):
    base = zoo.load(BASE)
    before = {name: value.clone() for name, value in base.net.state_dict().items()}
    one, two = (str(each) for each in adapters)
    alone = {name: zoo.adapt(base, {name: 1.0}).net.state_dict() for name in (one, two)}
    both = zoo.adapt(base, {one: 1.0, two: 0.5}).net.state_dict()
    turned = zoo.adapt(base, {two: 0.5, one: 1.0}).net.state_dict()
    none = zoo.adapt(base, {one: 0.0, two: 0.0}).net.state_dict()
    changed = 0
    for name, value in before.items():
        assert torch.equal(none[name], value)
        assert torch.equal(base.net.state_dict()[name], value)
        assert torch.allclose(both[name], turned[name], rtol=1e-6, atol=1e-8)
        sum_of = (
            value.double() + (alone[one][name] - value).double() + 0.5 * (alone[two][name] - value)
        )
        assert torch.allclose(both[name].double(), sum_of, atol=1e-6)
        changed += not torch.equal(both[name], value)
        shared = both[name].data_ptr() == base.net.state_dict()[name].data_ptr()
        assert shared is torch.equal(both[name], value)
    assert changed > 2
    assert all(
        torch.equal(zoo.load(one).net.state_dict()[name], each) for name, each in alone[one].items()
    )


def test_what_was_put_on_can_be_saved_as_a_model(adapters, tmp_path):
    model = zoo.load(adapters[0])
    again = zoo.load(model.save(tmp_path / "merged", name="merged", version="1.0.0"))
    assert again.card.adapter is None
    assert set(again.card.files) == {WEIGHTS, "recipe.toml", "sheet.png"}
    for name, value in model.net.state_dict().items():
        assert torch.equal(again.net.state_dict()[name], value)


def test_an_adapter_is_refused_on_other_weights(adapters, tmp_path):
    card = zoo.show(adapters[0])
    other = dataclasses.replace(card.adapter, weights=("0" * 64,))
    for name in card.files:
        (tmp_path / name).write_bytes((adapters[0] / name).read_bytes())
    write_card(dataclasses.replace(card, adapter=other), tmp_path)
    words = r"was made for vae-mnist@\S+ with weights 000000000000; vae-mnist@\S+ has "
    with pytest.raises(WeightsError, match=words):
        zoo.load(tmp_path)
    with pytest.raises(WeightsError, match="has no weights of its own to start from"):
        take(nn.Linear(1, 1), str(adapters[0]), strict=False)
    with pytest.raises(WeightsError, match="is a model of its own, no adapter"):
        zoo.adapt(zoo.load(BASE), {"vae-fashion": 1.0})


DYING = """
import os, signal, sys
from zoo import finetuning
from zoo.train import checkpoint
kept = checkpoint.complete
def complete(run, step, *rest):
    path = kept(run, step, *rest)
    if step == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return path
checkpoint.complete = complete
finetuning.finetune(*sys.argv[1:], "full", steps=4, batch=2, objective={}, sheet=False)
"""


def test_a_run_that_was_killed_ends_in_the_same_weights(pictures, tmp_path):
    given = [BASE, str(pictures), str(tmp_path / "run")]
    command = [sys.executable, "-W", "ignore", "-c", DYING, *given]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert checkpoint.steps_of(checkpoint.every(tmp_path / "run")[-1]) == 2
    one, other = (tuned(pictures, tmp_path / each, "full") / WEIGHTS for each in ("run", "whole"))
    assert one.read_bytes() == other.read_bytes()


def test_a_decoder_is_trained_without_changing_one_code(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(4):
        Image.effect_noise((128, 128), 40 + 20 * index).convert("RGB").save(folder / f"{index}.png")
    made = zoo.finetune(
        "vqgan-f8",
        folder,
        tmp_path / "run",
        "decoder",
        steps=2,
        batch=1,
        lr=1e-3,
        objective={},
        ema=0.5,
    )
    base, own = zoo.load("vqgan-f8"), zoo.load(made)
    images = zoo.Images.read(sorted(folder.iterdir()))
    tokens = base.encode(images)
    assert torch.equal(own.encode(images), tokens)
    assert not torch.equal(own.decode(tokens).tensor, base.decode(tokens).tensor)
    assert own.card.base_model == (base.card.title,)
    assert 'name = "pictures/"' in (made / "recipe.toml").read_text()  # and no path
    assert (own.card.codes, own.card.multiple) == (base.card.codes, base.card.multiple)
    found = {each.name.removeprefix("held-out "): each.value for each in own.card.metrics}
    assert found["autoencoder loss after"] < found["autoencoder loss before"]
    assert found["PSNR after"] != found["PSNR before"]


def test_what_was_frozen_and_moved_is_named(adapters, tmp_path):
    run = adapters[0].parent
    kept = checkpoint.every(run)[-1] / "model.safetensors"
    tensors = weights.read(kept)
    whole = {name: value.clone() for name, value in tensors.items()}
    name = next(key for key in whole if "lora" not in key and whole[key].is_floating_point())
    sound = kept.read_bytes()
    whole[name] += 1
    try:
        weights.save(kept, whole)
        with pytest.raises(PluginError, match=r"changed what was frozen: .*'vae'"):
            finetuning.ended(run, "strayed")
    finally:
        kept.write_bytes(sound)


def test_pictures_are_held_out_and_named_by_their_files(pictures):
    recipe = finetuning.plan("vqvae-cifar10", pictures, "decoder", **PLANNED)
    with pytest.warns(UserWarning, match=r"torn\.png \(cannot be read"):
        rest, held = finetuning.parted(recipe)
    assert (len(rest), len(held)) == (8, 2)
    named = {each["name"]: each["caption"] for part in (rest, held) for each in part}
    assert len(named) == 10
    assert named["my_cat-3.png"] == "a cat asleep"
    assert named["my_cat-4.png"] == "my cat 4"
    grey = finetuning.plan(BASE, pictures, "full", **PLANNED)
    with pytest.warns(UserWarning, match="torn"):
        assert finetuning.parted(grey)[0][0]["image"].shape == (1, 28, 28)


@pytest.mark.parametrize(
    ("base", "method", "settings", "error", "words"),
    [
        (BASE, "lorra", {}, RequestError, r"no method 'lorra'\. Methods: .*lora"),
        (BASE, "decoder", {}, Unsupported, "does not say what its decoder is. Name modules"),
        (
            BASE,
            "lora",
            {"modules": ("nonesuch*",)},
            RecipeError,
            "nothing in the net is named like",
        ),
    ],
)
def test_what_cannot_be_tuned_is_refused(pictures, tmp_path, base, method, settings, error, words):
    warnings.simplefilter("ignore")  # of the torn picture, where it comes to that
    with pytest.raises(error, match=words):
        zoo.finetune(base, pictures, tmp_path / "run", method, **{**FEW, **settings})


def test_a_folder_of_one_picture_is_refused(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "one.png")
    with pytest.raises(DataError, match="holds 1 picture: give two or more"):
        zoo.finetune(BASE, tmp_path, tmp_path / "run", "full", **FEW)


def test_a_trial_tells_time_and_memory_of_the_whole(pictures, tmp_path):
    recipe = finetuning.plan(BASE, pictures, "full", steps=8, batch=8, objective={})
    found = estimate(recipe)
    assert found.moved == found.parameters > 100_000
    assert found.seconds == pytest.approx(8 * found.seconds_a_step)
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.text())
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "zoo.train.estimating",
        str(path),
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    measured = json.loads(done.stdout.splitlines()[-1])["peak_bytes"]
    assert found.peak_bytes == pytest.approx(measured, rel=0.15)
    assert "436,772 of 436,772 numbers move; peak memory " in say(found, recipe)
