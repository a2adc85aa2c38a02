"""A GAN's two objectives, alone and through the real trainer."""

import pytest
import torch
from safetensors.torch import load_file

from zoo.errors import RequestError
from zoo.train import train
from zoo.train.recipe import parse
from zoo_gan import losses
from zoo_gan.net import Gan
from zoo_gan.training import objectives

CONFIG = {"latent": 4, "widths": [8, 4], "classes": 3, "embedding": 2}
CRITIC = {"widths": [4, 8]}
RECIPE = """
[model]
family = "gan"
config = { latent = 4, widths = [8, 4], classes = 3, embedding = 2 }
[data]
name = "given"
batch = 4
[objective]
loss = "LOSS"
r1 = 0.5
r1_every = 2
augment = ["colour", "translation", "cutout"]
discriminator = { widths = [4, 8] }
[optimizer]
betas = [0.0, 0.9]
[optimizer.discriminator]
lr = 1e-3
[train]
steps = 2
ema = 0.9
log_every = 1
eval_every = 2
eval_batches = 1
grid_every = 2
grid_count = 2
"""


class Pictures(torch.utils.data.Dataset):
    name = "given"

    def __len__(self):
        return 8

    def __getitem__(self, index):
        drawn = torch.Generator().manual_seed(index)
        image = torch.randint(0, 256, (3, 8, 8), generator=drawn, dtype=torch.uint8)
        return {"image": image, "label": index % 3}


@pytest.mark.parametrize("loss", losses.GENERATOR)
def test_two_steps_through_the_trainer_move_both_players_and_keep_an_average(loss, tmp_path):
    run = train(
        parse(RECIPE.replace("LOSS", loss)), tmp_path / "run", data=(Pictures(), Pictures())
    )
    (last,) = (run / "checkpoints").glob("*2")
    model, average = (load_file(last / f"{name}.safetensors") for name in ("model", "ema"))
    assert "generator.first.weight" in model
    assert not any("critic" in name or "judge" in name for name in model)
    assert any(
        not torch.equal(average[name], model[name]) for name in average if name.endswith("weight")
    )
    kept = load_file(last / "modules.safetensors")
    assert any("judge" in name for name in kept)
    lines = (run / "metrics.jsonl").read_text()
    assert all(name in lines for name in ("discriminator/r1", "discriminator/real", "generator/lr"))
    assert list((run / "grids").glob("*.png"))


def turns(table):
    torch.manual_seed(0)
    net = Gan(**CONFIG).double().train()
    generator, discriminator = objectives(net, table)
    generator.module.double().eval()  # spectral norms stand still
    batch = {
        "images": torch.rand(3, 3, 8, 8, dtype=torch.float64) * 2 - 1,
        "labels": torch.tensor([2, 0, 1]),
    }
    return net, generator, discriminator, batch


def test_the_discriminator_judges_the_pictures_that_the_generator_made_with_their_labels():
    _, generator, discriminator, batch = turns({"loss": "hinge", "discriminator": CRITIC})
    value, _ = generator.loss(batch, 0)
    critic, labels = generator.module, batch["labels"]
    assert not batch["made"].requires_grad
    assert torch.allclose(value, -critic(batch["made"], labels).mean(), rtol=1e-10)
    value, _ = discriminator.loss(batch, 0)
    real, made = critic(batch["images"], labels), critic(batch["made"], labels)
    assert torch.allclose(value, losses.hinge_discriminator(real, made), rtol=1e-10)


def test_r1_is_lazy_as_strong_on_average_and_absent_without_gradients():
    table = {"r1": 0.3, "r1_every": 4, "discriminator": CRITIC}
    _, generator, discriminator, batch = turns(table)
    generator.loss(batch, 0)
    with_, terms = discriminator.loss(batch, 4)
    without, _ = discriminator.loss(batch, 5)
    penalty = losses.r1(lambda x: generator.module(x, batch["labels"]), batch["images"])
    assert torch.allclose(terms["r1"], penalty, rtol=1e-10)
    assert torch.allclose(with_ - without, 0.3 / 2 * 4 * penalty, rtol=1e-8)
    with torch.no_grad():
        held_out, _ = discriminator.loss(batch, 4)
    assert torch.allclose(held_out, without, rtol=1e-10)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"los": "hinge"}, "loss"),
        ({"loss": "wasserstein"}, "non-saturating"),
        ({"augment": ["color"]}, "colour"),
        ({"r1": -1.0}, "r1 is 0 or more"),
        ({"discriminator": {"width": [4]}}, "width"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(table, message):
    with pytest.raises(RequestError, match=message):
        objectives(Gan(**CONFIG), table)


def test_data_that_do_not_fit_the_classes_are_refused():
    _, generator, _, batch = turns({"discriminator": CRITIC})
    with pytest.raises(RequestError, match="a label 3"):
        generator.loss({**batch, "labels": torch.tensor([0, 1, 3])}, 0)
    with pytest.raises(RequestError, match="no labels"):
        generator.loss({"images": batch["images"]}, 0)
