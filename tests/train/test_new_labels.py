"""A head of other labels than the net was trained with: families that have labels, by one mechanism that knows none."""

import json
import types
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

import zoo
from zoo import finetuning, hub
from zoo.card import WEIGHTS, Card, Density
from zoo.cli import cli
from zoo.data.storage import write
from zoo.errors import CardError, DataError, RequestError, Unsupported
from zoo.hookspecs import hookimpl
from zoo.plugins import family, register
from zoo.testing import Subject
from zoo.train import heads
from zoo.train.few import kept_by_heart, parted

KNOWN, WANTED = ("apple", "pear", "plum"), ("plum", "fig", "apple", "kiwi")
LEVEL = {"widths": [8, 8], "blocks": 1, "residual": {"groups": 4}, "classes": 3}
UNET = {"kind": "unet", "channels": 1, "outputs": 1, **LEVEL}
DIT = {
    "kind": "dit", "channels": 1, "outputs": 1, "size": 8, "patch": 2, "width": 16, "depth": 1, "heads": 2,
    "classes": 3,
}  # fmt: skip
PROCESS = {"schedule": "cosine", "steps": 4, "prediction": "v"}
PIXEL = {"size": 4, "channels": 1, "levels": 2, "width": 8, "classes": 3}
DIFFUSION = {"image": [1, 8, 8], "process": PROCESS, "classes": 3}
SIDES = {"widths": [8], "blocks": [1]}
CONFIGS = {
    "pixel, gated": ("pixel", {"kind": "gated", **PIXEL, "depth": 2, "kernel": 3}),
    "pixel, mosaic": ("pixel", {"kind": "mosaic", **PIXEL, "layers": "dca"}),
    "diffusion, null": ("diffusion", {**DIFFUSION, "net": {**UNET, "null": True}}),
    "diffusion, dit": ("diffusion", {**DIFFUSION, "net": DIT}),
    "gan": ("gan", {"channels": 1, "latent": 4, "widths": [8, 8], "classes": 3, "embedding": 4}),
    "vae": (
        "vae",
        {
            "image": [1, 8, 8], "latents": [4], "likelihood": {"kind": "bernoulli"}, "classes": 3,
            "encoder": SIDES, "decoder": SIDES,
        },
    ),
    "flow": ("flow", {"image": [1, 8, 8], "classes": 3, "stages": [
        {"mask": "checkerboard", "squeeze": True, "couplings": 2, "width": 8, "blocks": 1},
    ]}),
}  # fmt: skip


def subject(of, config):
    size = config.get("size", 8)
    options = {"steps": 2} if of == "diffusion" else {}
    return Subject(of, config, image=(1, size, size), options=options).model


def relabelled(model):
    """The model with a head of WANTED, the head, and what it was."""
    config, hooks = dict(model.card.config), model.hooks
    head = heads.head(hooks, config, {}, None, KNOWN, WANTED)
    more = heads.resized(config, len(WANTED))
    net = hooks.call("build", config=more, parts={})
    net.load_state_dict(head.fitted(model.net.state_dict()))
    return replace(model, net=net.eval(), card=replace(model.card, config=more)), head


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_label_that_was_known_draws_what_it_drew(kind):
    base = subject(*CONFIGS[kind])
    with torch.no_grad():
        for each in base.net.parameters():
            each.add_(0.1 * torch.randn(each.shape, generator=torch.Generator().manual_seed(1)))
    made, head = relabelled(base)
    old, new = base.net.state_dict(), made.net.state_dict()
    assert head.rows
    for name, value in new.items():
        if name not in head.rows:
            assert torch.equal(value, old[name])
            continue
        before, after = (each.movedim(head.rows[name], 0) for each in (old[name], value))
        assert torch.equal(after[[0, 2]], before[[2, 0]])
        assert torch.allclose(after[[1, 3]], before[:3].mean(0).expand_as(after[[1, 3]]), atol=1e-6)
        assert torch.equal(after[4:], before[3:])  # of no label
    for before, after in ((2, 0), (0, 2)):
        one, other = (
            m.condition(label=n).sample(1, seed=3) for m, n in ((base, before), (made, after))
        )
        assert torch.equal(one.tensor, other.tensor)


WITH_PARTS = {
    "dalle": {
        "shape": {"width": 16, "depth": 1, "heads": 2, "positions": "axial"}, "grid": [4, 4], "codes": 24, "classes": 3,
    },
    "ldm": {
        "image": [3, 16, 16], "latent": [4, 8, 8], "process": PROCESS, "classes": 3, "null": True,
        "net": {**DIT, "channels": 4, "outputs": 4},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_PARTS)
def test_one_table_of_a_net_with_parts_has_a_row_a_label(name):
    config = WITH_PARTS[name]
    found = heads.head(family(name), config, {}, None, KNOWN, WANTED)
    assert (list(found.rows.values()), found.old, found.kept) == ([0], 3, (2, None, 0, None))
    assert "label" in str(found.rows) or "embedding" in str(found.rows)


def test_a_classifier_gives_new_labels_the_mean_of_its_logits():
    net = {"channels": 1, "widths": [8], "blocks": 1, "pool": "adaptive", "attention": {"middle": False},
           "residual": {"groups": 4}}  # fmt: skip
    hooks, config = family("classifier"), {"classes": 3, "net": net, "process": PROCESS}
    torch.manual_seed(0)
    base = hooks.call("build", config=config, parts={})
    nn.init.normal_(base.out.weight)
    head = heads.head(hooks, config, {}, None, KNOWN, WANTED)
    made = hooks.call("build", config=heads.resized(config, 4), parts={})
    made.load_state_dict(head.fitted(base.state_dict()))
    images, t = torch.randn(2, 1, 8, 8), torch.tensor([1.0, 3.0])
    old, new = base.eval()(images, t), made.eval()(images, t)
    assert set(head.rows) == {"out.weight", "out.bias"}
    assert torch.allclose(
        new, torch.stack([old[:, 2], old.mean(1), old[:, 0], old.mean(1)], 1), atol=1e-5
    )


class Beside(nn.Module):
    """A layer that sees a picture's 12 numbers and its label's one beside them; `even`: not even that."""

    def __init__(self, classes, even=False):
        super().__init__()
        self.layer = nn.Linear(12 + (0 if even else classes), 1)


@hookimpl
def build(config):
    return Beside(**config)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"classes": 3},
            r"layer\.weight is \(1, 15\) for 3 labels and \(1, 16\) for 4: that is not a row",
        ),
        ({"classes": 3, "even": True}, "the same for 3 labels as for 4: it has no head"),
    ],
)
def test_what_has_no_row_a_label_is_refused(config, words):
    beside = types.ModuleType("beside")
    beside.build = build
    hooks = register("beside", beside)
    with pytest.raises(Unsupported, match=words):
        heads.head(hooks, config, {}, None, (), WANTED)


@pytest.fixture
def fruit(tmp_path):
    """Pictures in folders of their labels, two of which the base knows."""
    folder = tmp_path / "fruit"
    for label, name in enumerate(sorted(WANTED)):
        (folder / name).mkdir(parents=True)
        for number in range(4):
            level = 60 * label + 5 * number
            Image.new("RGB", (16, 16), (level, level, level)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def base():
    """A small model of black and white pictures with three labels, in the store."""
    of, config = CONFIGS["pixel, gated"]
    hooks = ("condition", "sample", "log_prob")
    made = subject(of, config).save(
        hub.models() / "fruit@1.0.0", name="fruit", version="1.0.0", labels=KNOWN, hooks=hooks,
        log_prob=Density("exact", "binary pixels"),
    )  # fmt: skip
    return zoo.load(made)


SETTINGS = {"steps": 4, "batch": 4, "lr": 0.05, "objective": {}}


def test_a_model_learns_other_labels_and_nothing_else(base, fruit, tmp_path):
    folder = zoo.finetune("fruit", fruit, tmp_path / "run", "head", **SETTINGS)
    card, made = zoo.show(folder), zoo.load(folder)
    assert card.labels == ("apple", "fig", "kiwi", "plum")
    assert (card.config["classes"], base.card.config["classes"]) == (4, 3)
    assert (card.base_model, card.adapter) == (("fruit@1.0.0",), None)
    assert {WEIGHTS, "recipe.toml", "sheet.png"} == set(card.files)
    assert card.metrics[0].command.endswith("--method head --steps 4 --batch 4 --lr 0.05")
    assert "Its labels: 0 apple, 1 fig, 2 kiwi, 3 plum." in card.body
    old, new = base.net.state_dict(), made.net.state_dict()
    moved = {name for name in old if old[name].shape != new[name].shape}
    assert moved == {"core.label.weight"}
    assert all(torch.equal(old[name], new[name]) for name in old.keys() - moved)
    assert not torch.equal(new["core.label.weight"][3], old["core.label.weight"][2])
    found = zoo.classify(made, torch.ones(1, 1, 4, 4))
    assert (found.probabilities.shape, found.names) == ((1, 4), card.labels)
    words = ["--method", "head", "--modules", "*", "--steps", "4", "--batch", "4", "--lr", "0.05"]
    asked = ["finetune", "fruit", str(fruit), "--out", str(tmp_path / "again"), *words]
    done = CliRunner().invoke(cli, [*asked, "--no-sheet", "--json"])
    assert done.exit_code == 0, done.output
    every = zoo.load(json.loads(done.stdout)["model"]).net.state_dict()
    assert sum(not torch.equal(every[name], new[name]) for name in new) > len(new) / 2


def test_pictures_that_the_base_draws_to_remember_have_their_labels(base, fruit, tmp_path):
    for each in ("fig", "kiwi"):
        (fruit / each).rename(tmp_path / each)
    recipe = finetuning.settled(finetuning.plan("fruit", fruit, "full", prior=5, **SETTINGS))
    prior = kept_by_heart(recipe, base, tmp_path / "prior")
    assert sorted(prior[n]["label"] for n in range(5)) == [0, 0, 1, 1, 2]
    last = base.condition(label=[1]).sample(1, seed=recipe.train.seed * 100_003 + 4)
    saved = zoo.Images.read(tmp_path / "prior" / "1" / "00004.png", 1)
    assert (saved.uint8() == last.uint8()).all()
    out = zoo.finetune("fruit", fruit, tmp_path / "run", "full", prior=3, sheet=False, **SETTINGS)
    assert zoo.show(out).labels == KNOWN
    (tmp_path / "fig").rename(fruit / "fig")
    recipe = finetuning.settled(finetuning.plan("fruit", fruit, "head", prior=5, **SETTINGS))
    with pytest.raises(RequestError, match=r"the new head has others .*leave out --prior"):
        kept_by_heart(recipe, base, tmp_path / "other")


def test_labels_that_do_not_fit_are_told_before_training(base, fruit, tmp_path):
    def settled(method, **settings):
        return finetuning.settled(
            finetuning.plan("fruit", fruit, method, **{**SETTINGS, **settings})
        )

    words = r"fruit@1\.0\.0 has 3 labels \(apple, pear, plum\), fruit has 4 \(apple, fig, kiwi, plum\)\. .*head"
    with pytest.raises(DataError, match=words):
        settled("full")
    for each in ("fig", "kiwi"):
        (fruit / each).rename(tmp_path / each)
    some = settled("full")
    assert some.tune.labels == KNOWN  # by the base's numbers, not by their own
    assert {item["label"] for part in parted(some) for item in part} == {0, 2}
    for path in sorted((fruit / "apple").iterdir())[1:]:
        path.unlink()
    with pytest.raises(
        DataError, match="no picture of apple to train on, of the labels apple, plum"
    ):
        settled("head")
    Image.new("RGB", (16, 16)).save(fruit / "loose.png")
    with pytest.raises(DataError, match=r"1 of 6 pictures have no label: loose\.png"):
        settled("head")
    for path in sorted(fruit.glob("*/*")):
        path.rename(fruit / f"{path.parent.name}-{path.name}")
    with pytest.raises(DataError, match=r"has 3 labels and the pictures of fruit have none"):
        settled("head")


def test_a_sets_own_labels_are_taken(base, tmp_path):
    picture = torch.zeros(4, 4, 3, dtype=torch.uint8).numpy()
    given = [("train", picture, {"name": f"{n}", "label": n % 5}) for n in range(10)]
    about = {"name": "five", "sources": [], "labels": ["a", "b", "c", "d", "e"]}
    folder = write(tmp_path / "five-4", iter(given), about)
    recipe = finetuning.settled(finetuning.plan("fruit", folder, "head", **SETTINGS))
    assert recipe.tune.labels == ("a", "b", "c", "d", "e")
    with pytest.raises(DataError, match=r"has 3 labels .*five has 5 \(a, b, c, d, e\)"):
        finetuning.settled(finetuning.plan("fruit", folder, "full", **SETTINGS))


def test_a_card_names_each_label_once(base):
    with pytest.raises(
        CardError, match=r"zoo\.labels: \['a'\] must be one name for each label, .* classes: 3"
    ):
        replace(base.card, labels=("a",))
    assert Card.parse(base.card.text()).labels == KNOWN
