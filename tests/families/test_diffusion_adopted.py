"""Published checkpoints become whole models: the net with its process, ready to sample."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import zoo
from zoo.errors import ForeignError
from zoo.foreign import open_checkpoint
from zoo.foreign_models import convert
from zoo.plugins import family

CASES = Path(__file__).parents[1] / "parity" / "cases"
SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "beta_schedule": "squaredcos_cap_v2",
    "num_train_timesteps": 50,
    "variance_type": "fixed_large",
}


def weights_of(case):
    name = json.loads((CASES / case / "meta.json").read_text())["weights_file"]
    return CASES / case / name


@pytest.mark.parametrize(
    ("case", "request_", "learned"),
    [
        ("guided_superres", {"label": 1, "low": torch.zeros(1, 3, 4, 4)}, True),
        ("diffusers_dit", {"label": 2}, True),
        ("diffusers_unet2d_legacy_attn", {}, False),
    ],
)
def test_a_checkpoint_is_a_model_that_samples(case, request_, learned):
    model = zoo.load(weights_of(case))
    assert model.family == "diffusion"
    assert (model.net.process.variance == "learned-range") is learned
    asked = model.condition(**request_) if request_ else model
    pictures = torch.as_tensor(asked.sample(1, seed=0, steps=2))
    assert pictures.shape == (1, *model.card.image)
    assert torch.isfinite(pictures).all()


def test_a_scheduler_beside_a_diffusers_model_becomes_its_process(tmp_path):
    shutil.copytree(CASES / "diffusers_unet2d_legacy_attn", tmp_path / "model")
    (tmp_path / "model" / "io.safetensors").unlink()
    alone = zoo.load(tmp_path / "model").net.process
    (tmp_path / "model" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    found = zoo.load(tmp_path / "model").net.process
    assert (alone.schedule, alone.steps) == ("linear", 1000)
    assert (found.schedule, found.steps, found.variance) == ("cosine", 50, "beta")
    bad = SCHEDULER | {"beta_schedule": "sqrt"}
    (tmp_path / "model" / "scheduler_config.json").write_text(json.dumps(bad))
    with pytest.raises(ForeignError, match="beta_schedule = 'sqrt' is not supported"):
        zoo.load(tmp_path / "model")


def test_a_scheduler_is_only_looked_for_beside_what_diffusers_wrote(tmp_path):
    shutil.copy(weights_of("guided_superres"), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    assert open_checkpoint(tmp_path).config == {}


def test_a_converted_model_draws_the_same_pictures(tmp_path):
    path = weights_of("diffusers_dit")
    folder = convert(path, "adm-tiny", tmp_path / "adm-tiny", license="mit")
    first, second = (zoo.load(each).condition(label=2) for each in (path, folder))
    one, two = (torch.as_tensor(each.sample(1, seed=3, steps=2)) for each in (first, second))
    torch.testing.assert_close(one, two)


def test_a_published_classifier_is_a_part_that_guides():
    guide = zoo.load(weights_of("guided_classifier"))
    assert (guide.family, guide.card.hooks) == ("classifier", ())
    model = zoo.load(weights_of("guided_superres"))
    hooks = family("diffusion")
    net = hooks.call("build", config=model.card.config, parts={"classifier": guide})
    assert net.classifier is guide.net
    logits = net.classifier(torch.zeros(2, 3, 16, 16), torch.tensor([0.0, 999.0]))
    assert logits.shape == (2, 13)
    assert not [name for name in net.state_dict() if "look" in name]
