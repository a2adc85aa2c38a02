"""Published token transformers: adopted with the tokenizer that is in their file, converted, refused with reasons."""

import json
from pathlib import Path

import pytest
import torch

import zoo
from zoo.errors import ForeignError, RequestError
from zoo.foreign import open_checkpoint
from zoo_dalle import layouts
from zoo_dalle.clip import scorer
from zoo_dalle.stream import Picture

CASES = Path(__file__).parents[1] / "parity" / "cases"
DALLE = CASES / "dalle_pytorch_dalle" / "dalle.pt"
TAMING = CASES / "taming_net2net_transformer" / "model.ckpt"
CLIP = CASES / "dalle_pytorch_clip" / "weights.safetensors"
LLAMAGEN = CASES / "llamagen_gpt" / "gpt.pt"


@pytest.mark.parametrize("path", [DALLE, TAMING], ids=["dalle", "taming"])
def test_it_is_converted_into_two_models_that_load_as_one(path, tmp_path):
    zoo.convert(path, "one", tmp_path / "one")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one", "one-tokenizer@1.0.0"]
    model, first = zoo.load(tmp_path / "one"), zoo.load(path)
    assert model.card.parts == {"tokenizer": "one-tokenizer@1.0.0"}
    pictures = model.sample(2, seed=0)
    assert torch.equal(first.sample(2, seed=0).tensor, pictures.tensor)
    assert torch.equal(model.log_prob(pictures).nats, first.log_prob(pictures).nats)


def test_a_prompt_is_numbers_where_the_vocabulary_is_not_known():
    model = zoo.load(DALLE)
    net = model.net
    asked = model.condition(text="3 5")._cond(1)
    assert asked.prefix.tolist() == [[3, 5, 32, 33, 34, 35]]
    assert net.given.ids == 36
    for text, words in (
        ("a red apple", "without the vocabulary"),
        ("3 30", "30 is none of them"),
        ("1 1 1 1 1 1 1", "7 are given"),
    ):
        with pytest.raises(RequestError, match=words):
            model.condition(text=text)


def test_clip_chooses_the_picture_that_fits_best():
    clip, model = zoo.load(CLIP), zoo.load(DALLE)
    judge = scorer(clip, "3 5")
    every = model.sample(1, seed=0, best_of=3, rerank=judge)
    assert every.tensor.shape == (1, 3, 16, 16)
    with pytest.raises(RequestError, match="is no CLIP"):
        scorer(model, "3 5")


def test_without_its_configuration_a_checkpoint_is_refused_with_what_to_do():
    for path, words in ((LLAMAGEN, "ModelArgs"), (TAMING, "cond_stage_config"), (DALLE, "hparams")):
        with pytest.raises(ForeignError, match=words):
            layouts.adopt(open_checkpoint(path).keys, None)


def test_a_configuration_of_another_net_is_refused():
    foreign = open_checkpoint(LLAMAGEN)
    config = json.loads((LLAMAGEN.parent / "config.json").read_text())
    with pytest.raises(ForeignError, match="n_layer is 3, the tensors say 2"):
        layouts.adopt(foreign.keys, {**config, "n_layer": 3})


def test_coordinates_of_the_whole_picture_are_those_of_its_pixels():
    height, width, side, codes = 3, 4, 4, 64
    pixels = torch.arange(height * width * side * side).view(1, 1, height * side, width * side)
    mean = torch.nn.functional.avg_pool2d(pixels.double() / pixels.numel(), side)
    given = Picture(8, False, codes, (height, width), coordinates=side)
    assert given.whole().tolist() == (codes * mean).round().long().flatten().tolist()
    assert given.nothing(2).shape == (2, 12)
