"""Published checkpoints become whole models: the net with its process, ready to sample."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import zoo
from zoo.errors import CardError, ForeignError, Unsupported
from zoo.foreign import open_checkpoint
from zoo.foreign_models import convert
from zoo.parts import extended
from zoo.testing import Subject

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
    path = weights_of("guided_superres")
    folder = convert(path, "adm-tiny", tmp_path / "adm-tiny", license="mit")
    asked = {"label": 2, "low": torch.zeros(1, 3, 4, 4)}
    first, second = (zoo.load(each).condition(**asked) for each in (path, folder))
    one, two = (torch.as_tensor(each.sample(1, seed=3, steps=2)) for each in (first, second))
    torch.testing.assert_close(one, two)


def test_a_published_classifier_is_a_part_that_guides():
    guide = zoo.load(weights_of("guided_classifier"))
    assert (guide.family, guide.card.hooks) == ("classifier", ())
    labels = guide.net.classes
    net = {"kind": "unet", "channels": 3, "outputs": 3, "widths": [8], "residual": {"groups": 4}}
    config = {"image": [3, 16, 16], "net": net, "process": {}}
    model = Subject("diffusion", config, image=(3, 16, 16)).model
    guided = extended(model, {"classifier": guide})
    assert guided.net.labels == labels
    one, two = (
        guided.condition(label=k).sample(1, seed=0, steps=2, classifier=5.0).tensor
        for k in (0, labels - 1)
    )
    assert (one - two).abs().max() > 1e-4
    assert not [name for name in guided.net.state_dict() if "look" in name]


def test_published_checkpoints_are_composed_by_their_paths():
    paths = weights_of("guided_superres"), weights_of("guided_classifier")
    with pytest.raises(CardError, match=r"knows 13 labels, this model \d+"):
        zoo.compose(paths[0], classifier=paths[1])
    with pytest.raises(CardError, match="the part base draws pictures"):
        zoo.compose(paths[0], base=paths[0])


def test_a_transformer_of_latents_says_that_it_draws_no_pictures():
    model = zoo.load(weights_of("diffusers_dit"))
    assert (model.card.hooks, model.card.log_prob) == ((), None)
    assert "latents of an autoencoder" in (model.card.source or {}).get("notes", model.card.body)
    with pytest.raises(Unsupported, match="autoencoder"):
        model.condition(label=1).sample(1)
    with torch.no_grad():
        answer = model.net.answer(torch.zeros(2, *model.net.diffused), 5.0, {})
    assert answer.shape == (2, 2 * model.card.image[0], *model.card.image[1:])
