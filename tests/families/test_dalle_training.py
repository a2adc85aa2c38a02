"""Training: what is minimised is what log_prob measures; views; a run to a model's folder and back."""

import shutil
from pathlib import Path

import pytest
import torch
import toys

import zoo
from zoo.annotate import annotate
from zoo.errors import RequestError, WeightsError
from zoo.plugins import family
from zoo.train import finish, train
from zoo.train.views import moved
from zoo_dalle import scoring, training
from zoo_dalle.asking import asked
from zoo_dalle.views import Views

PART = toys.tokenizer()
PICTURES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 2 - 1


def batch():
    labels = torch.tensor([0, 1, 2, 0])
    return {"images": PICTURES.double(), "captions": list(toys.CAPTIONS), "labels": labels}


def texts(**config):
    return toys.net(PART, **{"text": toys.TEXT, "null": True, **config})


@pytest.mark.parametrize("heads", ["separate", "shared"])
def test_the_loss_is_the_weighted_mean_of_what_log_prob_gives(heads):
    net = texts(heads=heads)
    table = {"text_weight": 1.0, "image_weight": 7.0}
    (goal,) = training.objectives(net, table)
    loss, terms = goal.loss(batch(), 0)
    cond, tokens = asked(net, {"text": toys.CAPTIONS}, 4), net.symbols(PICTURES)
    image = -scoring.log_prob(net, tokens, cond).mean() / 16
    lengths = [len(net.given.vocabulary.encode(each)) for each in toys.CAPTIONS]
    count = sum(min(length + 1, 9) for length in lengths)
    text = -scoring.log_prob_of_prefix(net, cond).sum() / count
    torch.testing.assert_close(terms["image"], image)
    torch.testing.assert_close(terms["text"], text)
    torch.testing.assert_close(loss, (text + 7 * image) / 8)


def test_tokens_that_come_with_the_batch_are_used_as_they_are():
    net = toys.net(classes=3)  # without a tokenizer
    (goal,) = training.objectives(net, {})
    tokens = torch.arange(16).view(1, 4, 4).expand(4, 4, 4)
    loss, _ = goal.loss({**batch(), "tokens": tokens}, 0)
    nats = scoring.log_prob(net, tokens.flatten(1), asked(net, {"label": [0, 1, 2, 0]}, 4))
    torch.testing.assert_close(loss, -nats.mean() / 16)
    with pytest.raises(RequestError, match="16 tokens, up to 99; the net draws 16 tokens of 24"):
        goal.loss({**batch(), "tokens": tokens + 84}, 0)
    (moving,) = training.objectives(net, {"move": 2})
    with pytest.raises(RequestError, match="need pictures"):
        moving.loss({**batch(), "tokens": tokens}, 0)


def test_another_picture_is_learned_from_its_tokens():
    net = toys.net(PART, picture={"codes": 5, "grid": [1, 2]})
    (goal,) = training.objectives(net, {"text_weight": 0.5})
    given = torch.tensor([[[0, 4]], [[1, 1]], [[2, 3]], [[4, 0]]])
    loss, terms = goal.loss({**batch(), "prefix_tokens": given}, 0)
    nats = scoring.log_prob(net, net.symbols(PICTURES), asked(net, {"tokens": given.tolist()}, 4))
    torch.testing.assert_close(terms["image"], -nats.mean() / 16)
    torch.testing.assert_close(loss, (terms["image"] + 0.5 * terms["text"]) / 1.5)
    with pytest.raises(RequestError, match="prefix_tokens"):
        goal.loss(batch(), 0)


def test_another_picture_may_lie_beside_each():
    """Depth maps, say: through the part that makes tokens of them."""
    net = toys.net(PART, picture={"codes": 24, "grid": [4, 4], "part": "tokenizer"})
    (goal,) = training.objectives(net, {})
    depths = PICTURES.flip(0)
    loss, _ = goal.loss({**batch(), "beside": depths}, 0)
    nats = scoring.log_prob(net, net.symbols(PICTURES), asked(net, {"picture": depths}, 4))
    torch.testing.assert_close(loss, -nats.mean() / 16)
    with pytest.raises(RequestError, match=r"beside = 'depth': NAME\.depth\.png"):
        goal.loss(batch(), 0)


def test_another_picture_may_be_made_of_the_picture():
    net = toys.net(PART, picture={"codes": 24, "grid": [4, 4], "part": "tokenizer"})
    (goal,) = training.objectives(net, {"annotate": "semantic"})
    loss, _ = goal.loss(batch(), 0)
    regions = annotate("semantic", PICTURES)
    nats = scoring.log_prob(net, net.symbols(PICTURES), asked(net, {"picture": regions}, 4))
    torch.testing.assert_close(loss, -nats.mean() / 16)
    for table, words in (
        ({"annotate": "depht"}, "there are edges, hed, sketch, semantic"),
        ({"annotate": "edges", "move": 1}, "change a picture and not the other"),
    ):
        with pytest.raises(RequestError, match=words):
            training.objectives(net, table)
    with pytest.raises(RequestError, match="has no part for them"):
        training.objectives(toys.net(PART), {"annotate": "edges"})


def test_leaving_the_condition_out_is_what_null_says():
    net = texts()
    (always,) = training.objectives(net, {"null": 1 - 1e-9})
    torch.manual_seed(0)
    loss, _ = always.loss(batch(), 0)
    nats = scoring.log_prob(net, net.symbols(PICTURES), None)
    torch.testing.assert_close(loss, -nats.mean() / 16)
    with torch.no_grad():
        held_out, _ = always.loss(batch(), 0)
    assert (held_out - loss).abs() > 1e-3


def test_a_blank_token_says_nothing():
    net = texts()
    cond, tokens = asked(net, {"text": toys.CAPTIONS}, 4), net.symbols(PICTURES)
    blank = torch.zeros(4, 15, dtype=torch.bool)
    blank[:, 3] = True
    other = tokens.clone()
    other[:, 3] = (other[:, 3] + 1) % 24
    one, same = net.hidden(tokens, cond, blank), net.hidden(other, cond, blank)
    torch.testing.assert_close(one, same)
    assert (one - net.hidden(tokens, cond)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("config", "table", "message"),
    [
        ({"null": False}, {"null": 0.1}, "null: true"),
        ({}, {"null": 1.0}, r"in \[0, 1\)"),
        ({}, {"text_weight": 0.0, "image_weight": 0.0}, "not both 0"),
        ({}, {"blanks": 0.1}, "no 'blanks'"),
        ({"text": None, "classes": 3}, {"text_weight": 1.0}, "does not predict its prefix"),
    ],
)
def test_tables_that_do_not_fit_are_refused(config, table, message):
    with pytest.raises(RequestError, match=message):
        training.objectives(texts(**config), table)


def test_data_that_lack_the_condition_are_told():
    (goal,) = training.objectives(texts(), {})
    with pytest.raises(RequestError, match="no captions"):
        goal.loss({"images": PICTURES}, 0)
    (goal,) = training.objectives(toys.net(PART, classes=2), {})
    with pytest.raises(RequestError, match="label 2"):
        goal.loss(batch(), 0)


def test_what_is_remembered_is_what_the_tokenizer_says():
    net = texts()
    plain, remembering = Views(net, False, 0, False), Views(net, False, 0, True)
    wanted = plain.tokens(batch(), True)[0]
    for _ in range(2):
        torch.testing.assert_close(remembering.tokens(batch(), True)[0], wanted)
    assert len(remembering.views.seen) == 4


def test_views_are_drawn_in_training_alone():
    net = texts()
    views = Views(net, True, 2, False)
    torch.manual_seed(0)
    drawn = [views.tokens({**batch(), "captions": ["left"] * 4}, True) for _ in range(8)]
    assert {word for _, captions in drawn for word in captions} == {"left", "right"}
    still, captions = views.tokens(batch(), False)
    assert torch.equal(still, net.symbols(PICTURES))
    assert captions == toys.CAPTIONS


def test_a_moved_picture_is_the_same_elsewhere():
    torch.manual_seed(1)
    picture, seen = PICTURES[0], set()
    for _ in range(100):
        other = moved(picture, 3)
        assert other.shape == picture.shape
        inner = {
            (down, right)
            for down in (-3, 0, 3)
            for right in (-3, 0, 3)
            if torch.equal(
                other[:, 3 + down : 13 + down, 3 + right : 13 + right], picture[:, 3:13, 3:13]
            )
        }
        assert len(inner) == 1
        seen |= inner
    assert len(seen) == 9


class Drawings:
    """Two 128 px pictures with captions."""

    name, licences = "drawings", ("CC0-1.0",)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        image = torch.full((3, 128, 128), 255, dtype=torch.uint8)
        image[index, 32:96, 32:96] = 0
        return {"image": image, "caption": toys.CAPTIONS[index]}


RECIPE = """
[model]
family = "dalle"
parts = { tokenizer = "vqgan-f16" }
[model.config]
shape = { width = 16, depth = 1, heads = 2, positions = "axial" }
grid = [8, 8]
codes = 16384
text = { length = 9, vocabulary = { file = "tokenizer.json" } }
null = true
embed = "codebook"
rank = 8
hidden = 16
groups = 128
[data]
batch = 2
[objective]
text_weight = 0.1
null = 0.1
mirror = true
remember = true
[optimizer]
lr = 1e-2
[train]
steps = STEPS
log_every = 0
grid_every = 0
[output]
dtype = "fp32"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A recipe with a vocabulary beside it, trained for some steps."""
    import json

    folder = tmp_path_factory.mktemp("training")
    version = zoo.load("vqgan-f16").card.title
    text = RECIPE.replace("vqgan-f16", version).replace("STEPS", "20")
    (folder / "recipe.toml").write_text(text)
    (folder / "tokenizer.json").write_text(json.dumps(toys.WORDS))
    return train(folder / "recipe.toml", folder / "run", data=Drawings())


def test_a_run_learns_its_pictures_and_becomes_a_model(run, tmp_path):
    folder = finish(run, "dalle-drawings", out=tmp_path / "model", license="cc0-1.0")
    model = zoo.load(folder)
    card = model.card
    assert (card.latent, card.codes, card.log_prob.over) == ((8, 8), 16384, "tokens")
    assert card.config["text"]["vocabulary"] == {"file": "tokenizer.json"}
    assert "tokenizer.json" in card.files
    images = torch.stack([Drawings()[index]["image"] for index in range(2)]).float() / 127.5 - 1
    nats = model.condition(text=toys.CAPTIONS[:2]).log_prob(images).nats
    assert (nats > 64 * -9.0).all()  # untrained: -9.7 a token
    assert model.condition(text="noto: red apple").sample(1, seed=0).shape == (1, 3, 128, 128)

    again = model.save(tmp_path / "again")
    assert (again / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    with (folder / "tokenizer.json").open("a") as file:
        file.write(" ")
    with pytest.raises(WeightsError, match=r"tokenizer\.json"):
        zoo.load(folder)


def test_a_run_goes_on_with_its_own_vocabulary_alone(run, tmp_path):
    recipe = tmp_path / "recipe.toml"
    shutil.copyfile(Path(run) / "recipe.toml", recipe)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(zoo.ZooError, match=r"is not the tokenizer\.json that .* was begun with"):
        train(recipe, run, data=Drawings(), steps=21)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(zoo.ZooError, match="cannot be read"):
        train(recipe, run, data=Drawings(), steps=21)


def test_the_family_is_found_by_its_name():
    assert family("dalle").hooks
