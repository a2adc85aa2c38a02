"""Fine-tuning by other means than adapters of weights: a word, a ControlNet, the base's own pictures, less memory."""

import dataclasses
import sys
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image

import zoo
from zoo import finetuning, hub
from zoo.card import ADAPTER, Density
from zoo.errors import DataError, RequestError, Unsupported, WeightsError
from zoo.plugins import family
from zoo.testing import Subject
from zoo.train.estimating import Estimate, fitted
from zoo.train.few import Half, kept_by_heart, parted
from zoo.train.parallel import blocks_of, recompute
from zoo.train.recipe import Tune
from zoo.train.tuning import prepare
from zoo_ldm.prompts import rows

sys.path.insert(0, str(Path(__file__).parent.parent / "families"))
import latents
import toys

FEW = {"steps": 3, "batch": 2, "objective": {}}
BARS = {
    "image": [3, 16, 16], "process": {"schedule": "cosine", "steps": 12, "prediction": "v"},
    "net": {
        "kind": "unet", "channels": 3, "outputs": 3, "widths": [8, 12], "blocks": 1, "residual": {"groups": 4},
    },
}  # fmt: skip


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, name in enumerate(
        ["red apple", "green apple", "red house", "green_house", "red-apple"]
    ):
        Image.new("RGB", (20, 16), (40 * index, 90, 30)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def dalle():
    """A small DALL-E in the store, with its tokenizer."""
    toys.tokenizer().save(hub.models() / "toy-vq@1.0.0", name="toy-vq", version="1.0.0")
    made = Subject(
        "dalle", {"shape": toys.SHAPE, "grid": [4, 4], "codes": 24, "null": True, "text": toys.TEXT},
        image=(3, 16, 16), latent=(4, 4), latent_kind="tokens", codes=24,
        log_prob=Density("exact", "tokens"),
        hooks=("condition", "encode", "decode", "sample", "log_prob"),
        parts={"tokenizer": zoo.load("toy-vq")},
    ).model  # fmt: skip
    parts = {"tokenizer": "toy-vq@1.0.0"}
    made.save(hub.models() / "toy@1.0.0", name="toy", version="1.0.0", parts=parts)
    return zoo.load("toy")


def test_a_word_is_learned_and_nothing_else(dalle, pictures, tmp_path):
    learned = {"word": "<cat>", "like": "red apple", **FEW}
    folder = zoo.finetune("toy", pictures, tmp_path / "run", "textual-inversion", **learned)
    card = zoo.show(folder)
    assert (card.adapter.words, card.files[ADAPTER].size < 400) == (("<cat>",), True)
    assert {"recipe.toml", "sheet.png", ADAPTER} == set(card.files)
    told = zoo.load(folder)
    images = torch.zeros(1, 3, 16, 16)
    for text in ("noto: red apple", ""):  # what was known is as it was, to the bit
        one, other = (each.condition(text=text).log_prob(images).nats for each in (told, dalle))
        assert torch.equal(one, other)
    asked = told.condition(text="noto: <cat>")
    assert asked.sample(1, seed=0).shape == (1, 3, 16, 16)
    assert torch.isfinite(asked.log_prob(images).nats).all()
    with pytest.raises(RequestError, match="the model never saw '<'"):
        dalle.condition(text="noto: <cat>").sample(1, seed=0)
    with pytest.raises(RequestError, match=r"its scale is 1, not 0\.5"):
        zoo.adapt(dalle, {folder: 0.5})
    with pytest.raises(RequestError, match="<cat> is a word that was learned already"):
        zoo.adapt(dalle, {folder: 1.0, str(folder): 1.0})
    with pytest.raises(WeightsError, match="has learned words"):
        told.save(tmp_path / "merged", name="merged")


def test_a_latent_diffusion_model_learns_a_word_of_its_own_encoder():
    made = Subject(
        "ldm", latents.reading(), image=(3, 16, 16), latent=(4, 4, 4), latent_kind="continuous",
        hooks=("condition", "sample"), parts={"autoencoder": latents.autoencoder()},
    ).model  # fmt: skip
    net, known = made.net, ["noto: red apple", ""]
    with torch.no_grad():
        for each in net.parameters():
            each.normal_(0, 0.2, generator=torch.Generator().manual_seed(each.numel()))
        before, _ = rows(net.words, known, net.like())
        prepare(net, Tune("textual-inversion", word="<cat>", like="red apple"), 0)
        after, _ = rows(net.words, known, net.like())
    assert torch.equal(before, after)
    [objective] = family("ldm").call("objectives", net=net, recipe={"null": 0.0})
    loss, _ = objective.loss(
        {"images": torch.zeros(2, 3, 16, 16), "captions": ["<cat>", "noto: <cat>"]}, 0
    )
    loss.backward()
    reached = [name for name, each in net.named_parameters() if each.grad is not None]
    assert reached == ["words.embed.rows"]
    assert net.words.embed.rows.grad.abs().sum() > 0


def test_captions_that_cannot_be_read_are_told_before_training(dalle, pictures, tmp_path):
    Image.new("RGB", (16, 16)).save(pictures / "IMG_%.png")
    recipe = finetuning.plan("toy", pictures, **FEW)
    with pytest.warns(UserWarning, match=r"1 pictures are left out .*IMG_%\.png .*never saw"):
        recipe = finetuning.settled(recipe)
    assert recipe.tune.without == ("IMG_%.png",)
    rest, held = parted(recipe)
    assert (len(rest), len(held)) == (4, 1)
    assert {each["caption"] for each in (*rest, *held)} == {
        "red apple", "green apple", "red house", "green house",
    }  # fmt: skip
    told = finetuning.settled(finetuning.plan("toy", pictures, caption="noto: red apple", **FEW))
    assert {each["caption"] for each in parted(told)[0]} == {"noto: red apple"}
    with pytest.raises(DataError, match="can read no caption of these pictures"):
        finetuning.settled(finetuning.plan("toy", pictures, caption="&", **FEW))


def bars():
    made = Subject(
        "diffusion", BARS, image=(3, 16, 16),
        hooks=("condition", "sample"), options={"steps": 2},
    ).model  # fmt: skip
    with torch.no_grad():
        for each in made.net.parameters():
            each.normal_(0, 0.15, generator=torch.Generator().manual_seed(each.numel()))
    made.save(hub.models() / "bars@1.0.0", name="bars", version="1.0.0", sampling={"steps": 2})


def test_a_controlnet_is_made_for_a_base(pictures, tmp_path):
    bars()
    base = zoo.load("bars")
    folder = zoo.finetune("bars", pictures, tmp_path / "run", "controlnet", lr=0.01, **FEW)
    made = zoo.load(folder)
    assert (made.family, made.card.parts) == ("controlnet", {"base": "bars@1.0.0"})
    assert "sheet.png" in made.card.files
    named = {each.name for each in made.card.metrics}
    assert {f"held-out control loss {when}" for when in ("before", "after")} <= named
    hint = torch.full((1, 16, 16), -1.0)
    hint[:, :, 5] = 1.0
    told = base.condition(edges=hint, control=made).sample(1, seed=0).tensor
    assert not torch.equal(told, base.sample(1, seed=0).tensor)


def test_a_controlnet_needs_a_u_net(pictures):
    with pytest.raises(Unsupported, match=r"vae-mnist@\S+ \(vae\) has none"):
        finetuning.plan("vae-mnist", pictures, "controlnet", **FEW)


def test_the_base_draws_what_is_to_be_remembered(dalle, pictures, tmp_path):
    recipe = finetuning.plan("toy", pictures, prior=5, prior_text="red house", **FEW)
    prior = kept_by_heart(recipe, dalle, tmp_path / "prior")
    drawn = {each.name: each.read_bytes() for each in (tmp_path / "prior").glob("*.png")}
    assert len(drawn) == len(prior) == 5
    (tmp_path / "prior" / "00004.png").unlink()  # a run that was killed goes on
    kept_by_heart(recipe, dalle, tmp_path / "prior")
    assert {each.name: each.read_bytes() for each in (tmp_path / "prior").glob("*.png")} == drawn
    rest, _ = parted(recipe)
    both = Half(rest, prior)
    assert len(both) == 10
    captions = [both[number]["caption"] for number in range(10)]
    assert captions[1::2] == ["red house"] * 5
    assert set(captions[::2]) == {each["caption"] for each in rest}
    zoo.finetune("toy", pictures, tmp_path / "run", "full", prior=2, sheet=False, **FEW)
    assert len(list((tmp_path / "run" / "prior").glob("*.png"))) == 2


def test_a_set_of_one_split_is_parted_and_one_of_two_is_not(tmp_path):
    from zoo.data.storage import write

    picture = torch.zeros(32, 32, 3, dtype=torch.uint8).numpy()
    about = {"name": "few", "sources": []}
    for splits, counts in ((["test"] * 9, (7, 2)), (["train"] * 5 + ["test"] * 3, (5, 3))):
        given = ((split, picture, {"name": f"{n}"}) for n, split in enumerate(splits))
        folder = write(tmp_path / "few-32", given, about)
        recipe = finetuning.plan("vqvae-cifar10", folder, "decoder", **FEW)
        assert tuple(map(len, parted(recipe))) == counts


def needs(recipe):
    """Memory as a formula: what a real trial finds is tests/train/test_tuning.py's."""
    train = recipe.train
    kept = 64 * recipe.data.batch / train.accumulate / (4 if train.gradient_checkpointing else 1)
    kept /= 2 if train.precision == "bf16" else 1
    return Estimate(1, 1, round(100 + kept + 40 * recipe.optimizer.bits / 32), "CPU", 1, 1)


def test_what_costs_least_is_given_up_first(pictures):
    warnings.simplefilter("ignore")
    recipe = finetuning.plan("vae-mnist", pictures, "full", steps=4, batch=4, objective={})
    taken = {}
    for limit in (400, 300, 210, 160, 150, 120):
        picked = fitted(recipe, limit, True, measure=needs)
        train = picked.recipe.train
        taken[limit] = (
            train.accumulate, train.gradient_checkpointing, train.precision, picked.recipe.optimizer.bits,
        )  # fmt: skip
        assert needs(picked.recipe) == picked.estimate
        assert picked.estimate.peak_bytes <= limit
    assert taken == {
        400: (1, False, "no", 32), 300: (2, False, "no", 32), 210: (4, False, "no", 32),
        160: (4, True, "no", 32), 150: (4, True, "bf16", 32), 120: (4, True, "bf16", 8),
    }  # fmt: skip
    with pytest.raises(
        RequestError, match=r"Nothing stays below .*batch 4 in 2: .*moments in 8 bits"
    ):
        fitted(recipe, 100, True, measure=needs)
    plain = fitted(recipe, 210, False, measure=needs)
    assert dataclasses.replace(recipe.train, accumulate=4) == plain.recipe.train


def test_blocks_computed_again_give_the_same_gradients():
    bars()
    images, t = torch.rand(2, 3, 16, 16), torch.tensor([3.0, 7.0])
    found = []
    for again in (False, True):
        net = zoo.load("bars").net
        assert len(blocks_of(net)) > 4
        if again:
            recompute(net)
        net.network(images, t).square().mean().backward()
        found.append([each.grad for each in net.parameters()])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
