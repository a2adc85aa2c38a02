"""Textual inversion where the text encoder is a part: its model learns the word, the part does not."""

import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import zoo
from zoo import hub
from zoo.card import ADAPTER
from zoo.errors import RequestError, WeightsError
from zoo.plugins import family
from zoo.train.recipe import Tune
from zoo.train.tuning import prepare

sys.path.insert(0, str(Path(__file__).parent.parent / "families"))
import compvis_files as files

LEARNED = {"word": "<cat>", "like": "red", "caption": "a <cat>"}
FEW = {"steps": 4, "batch": 2, "lr": 0.05}


@pytest.fixture
def base(tmp_path):
    """A text-to-image model of CompVis' layout in the store, its text encoder and autoencoder parts."""
    path = files.written(
        tmp_path / "file", files.drawn(files.text_to_image()), files.CONFIG, files.WORDS
    )
    zoo.convert(path, "drawer")
    return zoo.load("drawer")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(6):
        Image.new("RGB", (8, 8), (40 * index, 90, 30)).save(folder / f"{index}.png")
    return folder


def drawing(model, text):
    return model.condition(text=text).sample(1, seed=0, steps=2).tensor


def test_the_word_is_the_adapters_alone(base, pictures, tmp_path):
    before = {role: part.net.state_dict() for role, part in base.parts.items()}
    before = {role: {k: v.clone() for k, v in each.items()} for role, each in before.items()}
    folder = zoo.finetune(
        "drawer", pictures, tmp_path / "run", "textual-inversion", **LEARNED, **FEW
    )
    card = zoo.show(folder)
    assert card.adapter.words == ("<cat>",)
    assert card.files[ADAPTER].size < 400  # one row of 12 numbers
    told = zoo.load(folder)
    assert torch.equal(drawing(told, "a red house"), drawing(base, "a red house"))
    assert not torch.equal(drawing(told, "a <cat>"), drawing(told, "a red"))
    put = zoo.adapt(base, {folder: 1.0})
    assert torch.equal(drawing(put, "a <cat>"), drawing(told, "a <cat>"))
    for model in (base, put):
        for role, part in model.parts.items():
            state = part.net.state_dict()
            assert state.keys() == before[role].keys()
            assert all(torch.equal(state[key], value) for key, value in before[role].items())
    with pytest.raises(RequestError, match="never saw '<'"):
        drawing(base, "a <cat>")
    with pytest.raises(WeightsError, match="has learned words"):
        put.save(tmp_path / "merged", name="merged")


def test_words_are_put_on_together(base, pictures, tmp_path):
    one, other = (
        zoo.finetune(
            "drawer", pictures, tmp_path / word, "textual-inversion",
            **{**LEARNED, "word": f"<{word}>", "caption": f"a <{word}>"}, **FEW, seed=seed,
        )
        for seed, word in enumerate(("cat", "dog"))
    )  # fmt: skip
    both = zoo.adapt(base, {one: 1.0, other: 1.0})
    assert torch.equal(drawing(both, "a <cat>"), drawing(zoo.load(one), "a <cat>"))
    assert torch.equal(drawing(both, "a <dog>"), drawing(zoo.load(other), "a <dog>"))


def test_on_other_weights_it_is_refused(base, pictures, tmp_path):
    folder = zoo.finetune(
        "drawer", pictures, tmp_path / "run", "textual-inversion", **LEARNED, **FEW
    )
    with torch.no_grad():
        next(base.net.parameters()).add_(1)
    base.save(hub.models() / "other@1.0.0", name="other", version="1.0.0")
    with pytest.raises(WeightsError, match=r"was made for drawer@1\.0\.0"):
        zoo.adapt(zoo.load("other"), {folder: 1.0})


def test_the_row_alone_has_a_gradient_and_the_loss_falls(base):
    net = base.net.double()
    for part in base.parts.values():
        part.net.double()
    prepare(net, Tune("textual-inversion", word="<cat>", like="red"), 0)
    [objective] = family("ldm").call("objectives", net=net, recipe={"null": 0.0})
    images = torch.linspace(-1, 1, 2 * 3 * 64).view(2, 3, 8, 8).double()
    row = net.copied.embed.rows

    def loss():
        torch.manual_seed(0)  # the same noise and times
        return objective.loss({"images": images, "captions": ["a <cat>", "<cat>"]}, 0)[0]

    first = loss()
    first.backward()
    assert [name for name, each in net.named_parameters() if each.grad is not None] == [
        "copied.embed.rows"
    ]
    with torch.no_grad():
        row -= 0.1 * row.grad / row.grad.norm()
    assert loss().item() < first.item()
