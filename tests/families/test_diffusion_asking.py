"""What can be asked of a diffusion model, and how it says what cannot."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo import rng
from zoo.card import Density
from zoo.errors import RequestError
from zoo.evaluate import evaluate
from zoo.images import to_uint8
from zoo.nn.diffusion import Process, choosing, inversion, losses
from zoo.nn.diffusion.sampling import Told
from zoo.testing import Subject
from zoo_diffusion import asking, sampling, scoring, training
from zoo_diffusion.asking import Asked
from zoo_diffusion.net import DiffusionModel


class Denoiser(torch.nn.Module):
    """The answer eps for pictures drawn from N(0.2, 0.3^2), so that all is smooth; labels 0 .. 2 and none."""

    def __init__(self, process, classes=0, null=False):
        super().__init__()
        self.process, self.classes, self.null = process, classes, null
        self.weight = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x, t, cond):
        level = self.process.level(float(t[0]))
        middle = 0.2 + (0.1 * cond["label"].view(-1, 1, 1, 1) if "label" in cond else 0.0)
        total = (0.3 * level.alpha) ** 2 + level.sigma**2
        return (x - level.alpha * middle) * level.sigma / total * self.weight


PROCESS = Process(steps=100, beta_start=1e-3, beta_end=0.1)


def model(process=PROCESS, **labels):
    return DiffusionModel((1, 4, 4), Denoiser(process, **labels), process)


def draw(net, asked=None, count=2, seed=0, **options):
    with torch.no_grad():
        return sampling.sample(
            net, count, asked, options, rng.generator(seed), lambda s, total=None, label="": s
        )


IMAGE = torch.linspace(-0.5, 0.5, 16, dtype=torch.float64).view(1, 1, 4, 4)

BAD_OPTIONS = {
    "an unknown sampler": ({"sampler": "eular"}, "Did you mean 'euler'"),
    "too many steps": ({"steps": 101}, "take 1 to 100"),
    "an offset out of the schedule": (
        {"steps": 10, "spacing": "leading", "offset": 20},
        "out of the schedule",
    ),
    "an unknown spacing": ({"spacing": "even"}, "leading, trailing"),
    "guidance without labels": ({"guidance": 2.0}, "has no labels"),
    "a classifier that is not there": ({"classifier": 1.0}, "zoo.compose"),
    "eta for heun": ({"sampler": "heun", "eta": 0.5}, "it is of ddim, euler"),
    "resample without a mask": ({"resample": 3}, "mask"),
    "a variance that the net does not know": (
        {"sampler": "ddpm", "variance": "learned-range"},
        "one of beta, posterior, as",
    ),
    "an interval the wrong way round": (
        {"guidance_from": 5.0, "guidance_to": 1.0},
        "guidance_from = 5 must be below",
    ),
    "an unknown option": ({"step": 3}, "Did you mean 'steps'"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_options_that_do_not_fit_are_refused_with_what_fits(name):
    options, told = BAD_OPTIONS[name]
    with pytest.raises(RequestError, match=told):
        draw(model(), **options)


def test_guidance_needs_a_null_label_and_a_label():
    with pytest.raises(RequestError, match="no null label"):
        draw(model(classes=3), Asked(torch.tensor([0, 1])), guidance=2.0)
    with pytest.raises(RequestError, match="label="):
        draw(model(classes=3, null=True), guidance=2.0)


@pytest.mark.parametrize("sampler", ["unipc", "pndm"])
@pytest.mark.parametrize(
    "process", [Process("flow", 50, "velocity"), Process(prediction="v", zero_snr=True)]
)
def test_a_sampler_that_cannot_begin_with_pure_noise_says_which_can(sampler, process):
    with pytest.raises(RequestError, match="These fit: ddpm, ddim"):
        choosing.chosen(process, {"sampler": sampler})


BAD_REQUESTS = {
    "a mask of the wrong size": ({"image": IMAGE, "mask": torch.ones(5, 4)}, r"\(4, 4\)"),
    "a mask of greys": (
        {"image": IMAGE, "mask": torch.full((4, 4), 0.5)},
        "of 16 numbers 16 .* as 0.5",
    ),
    "a mask of 8 bits": ({"image": IMAGE, "mask": np.full((4, 4), 255, np.uint8)}, "such as 255"),
    "a mask that is none": (
        {"image": IMAGE, "mask": {"x": 1}},
        "black and white picture; got dict",
    ),
    "two masks for three pictures": (
        {"image": IMAGE.expand(3, -1, -1, -1), "mask": torch.ones(2, 1, 4, 4)},
        "mask has 2 entries for 3",
    ),
    "a mask without a picture": ({"mask": torch.ones(4, 4)}, "image="),
    "a strength without a picture": ({"strength": 0.5}, "image="),
    "a picture of another size": ({"image": torch.zeros(1, 1, 5, 5)}, "must be"),
    "no such likelihood": ({"likelihood": "exact"}, "bound, ode"),
    "small pictures": ({"low": torch.zeros(1, 1, 2, 2)}, "super-resolution"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_requests_that_do_not_fit_are_refused(name):
    request, told = BAD_REQUESTS[name]
    with pytest.raises(RequestError, match=told):
        asking.asked(model(), request, 3 if "two" in name else 1)


def test_a_mask_may_be_a_black_and_white_picture(tmp_path):
    mask = np.zeros((4, 4), np.uint8)
    mask[:, 2:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for given in (str(tmp_path / "mask.png"), tmp_path / "mask.png", Image.fromarray(mask)):
        asked = asking.asked(model(), {"image": IMAGE, "mask": given}, 1)
        assert torch.equal(asked.start.mask[0, 0], torch.as_tensor(mask / 255))


def test_eps_is_refused_where_a_schedule_begins_with_pure_noise():
    with pytest.raises(ValueError, match="'velocity', 'v' or 'x0'"):
        model(Process("flow", 50, "eps"))


def test_the_bound_of_a_continuous_schedule_is_refused():
    with pytest.raises(RequestError, match="likelihood='ode'"):
        asking.asked(model(Process("flow", 50, "velocity")), {"likelihood": "bound"}, 1)


@pytest.mark.parametrize(
    ("table", "process", "told"),
    [
        ({"loss": "hybrid"}, PROCESS, "learned variance"),
        ({"loss": "vlb"}, Process("flow", prediction="velocity"), "continuous"),
        ({"loss": "simple"}, Process(variance="learned-range"), "does not train the variance"),
        ({"loss": "simpel"}, PROCESS, "none of simple"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused(table, process, told):
    with pytest.raises(RequestError, match=told):
        training.Settings.of(table, process)


@pytest.mark.parametrize("sampler", choosing.METHODS)
def test_every_sampler_ends_where_the_pictures_are(sampler):
    found = draw(model(), count=64, steps=100, sampler=sampler)
    assert float(found.mean()) == pytest.approx(0.2, abs=0.06)
    assert float(found.std()) == pytest.approx(0.3, abs=0.12 if sampler == "lcm" else 0.05)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++2m"])
@pytest.mark.parametrize("resample", [1, 2])
def test_what_the_mask_keeps_is_the_given_picture(sampler, resample):
    mask = torch.zeros(4, 4)
    mask[:, 2:] = 1
    asked = asking.asked(model(), {"image": IMAGE, "mask": mask}, 2)
    found = draw(model(), asked, steps=10, sampler=sampler, resample=resample, jump=4)
    torch.testing.assert_close(found[..., :2], IMAGE[..., :2].expand(2, -1, -1, -1))
    assert (found[..., 2:] - IMAGE[..., 2:]).abs().min() > 1e-4


def test_a_little_strength_changes_a_picture_little():
    near, far = (
        (draw(model(), asking.asked(model(), {"image": IMAGE, "strength": s}, 2), steps=20) - IMAGE)
        .abs()
        .mean()
        for s in (0.1, 0.9)
    )
    assert near < far / 2


def test_guidance_moves_towards_the_label_and_away_from_none():
    net = model(classes=3, null=True)
    asked = Asked(torch.tensor([2, 2]))
    plain, pushed = (float(draw(net, asked, steps=10, guidance=g).mean()) for g in (1.0, 0.0))
    assert (
        pushed > plain
    )  # without weight on the label it is the null label's, whose mean is higher here


def test_the_round_trip_is_nearer_with_more_steps_and_exact_when_refined():
    net, images, told = model(), IMAGE.expand(2, -1, -1, -1), Told({})
    with torch.no_grad():
        few, many, fine = (
            float(
                (
                    inversion.decode(net, inversion.encode(net, images, told, *n), told, n[0])
                    - images
                )
                .abs()
                .max()
            )
            for n in ((20,), (100,), (20, 60))
        )
    assert fine < 1e-9 < many < few / 2


def test_what_is_foreseen_can_be_seen(tmp_path):
    seen = []
    last = draw(
        model(), steps=5, preview=2, preview_to=tmp_path / "growing.png",
        on_preview=lambda pictures, steps: seen.append((steps, pictures.tensor)),
    )  # fmt: skip
    assert [(steps, tuple(each.shape)) for steps, each in seen] == [
        (2, (2, 1, 4, 4)),
        (4, (2, 1, 4, 4)),
    ]
    assert (seen[-1][1] - last).abs().mean() < (seen[0][1] - last).abs().mean()
    assert zoo.Images.read(tmp_path / "growing.png").tensor.shape[-1] >= 8
    with pytest.raises(RequestError, match="on_preview is a function"):
        draw(model(), preview=1, on_preview="me")
    with pytest.raises(RequestError, match="somewhere to go"):
        draw(model(), preview=1)


SUBJECT = Subject(
    "diffusion",
    {
        "image": [1, 8, 8],
        "net": {"kind": "unet", "channels": 1, "outputs": 1, "widths": [8], "residual": {"groups": 4}},
        "process": {"schedule": "cosine", "steps": 25, "prediction": "v"},
    },
    image=(1, 8, 8),
    log_prob=Density("lower bound", "8-bit pixels"),
)  # fmt: skip


def test_a_picture_to_begin_with_has_no_part_in_log_prob():
    asked = asking.asked(model(), {"image": IMAGE, "strength": 0.5}, 1)
    with pytest.raises(RequestError, match=r"is where a drawing begins.*no part in log_prob"):
        scoring.log_prob(model(), IMAGE, asked, rng.generator(0))


def test_log_prob_says_of_what_kind_it_is():
    images = SUBJECT.images
    assert SUBJECT.model.log_prob(images, seed=0).kind == "lower bound"
    assert (
        SUBJECT.model.condition(likelihood="ode", steps=4).log_prob(images, seed=0).kind
        == "estimate"
    )
    found = evaluate(
        SUBJECT.model.condition(likelihood="ode", steps=4),
        to_uint8(images.tensor),
        ["bits-per-dim"],
    )
    assert found[0].settings["kind"] == "estimate"
    assert "likelihood=ode" in found[0].name


def test_the_bound_is_the_sum_of_its_terms():
    images = SUBJECT.images
    parts = SUBJECT.model.terms(images, seed=3)
    assert list(parts)[:2] == ["prior", "t = 24"]
    assert list(parts)[-1] == "t = 0"
    whole = SUBJECT.model.log_prob(images, seed=3).nats
    torch.testing.assert_close(sum(parts.values()), -whole, rtol=1e-5, atol=1e-3)
    pictures = to_uint8(images.tensor)
    found = evaluate(SUBJECT.model, pictures, ["bits-by-term", "bits-per-dim"])
    *parts, whole = found
    assert len(parts) == 2 + 8  # ends, and 24 terms by threes
    assert parts[1].name == "bits per dimension, t = 24 .. 22"
    assert sum(each.value for each in parts) == pytest.approx(whole.value, rel=1e-5)
    with pytest.raises(RequestError, match="no sum of terms"):
        SUBJECT.model.condition(likelihood="ode").terms(images)


def test_half_precision_is_the_net_s_alone():
    wide = SUBJECT.model.sample(2, seed=0, steps=5).tensor
    narrow = copy.deepcopy(SUBJECT.model.net).bfloat16()
    half = replace(SUBJECT.model, net=narrow)
    found = half.sample(2, seed=0, steps=5).tensor
    assert found.dtype == torch.float32
    assert 0 < (found - wide).abs().max() < 0.05
    assert half.encode(SUBJECT.images).dtype == torch.float32
    nats = half.log_prob(SUBJECT.images, seed=0).nats
    torch.testing.assert_close(
        nats, SUBJECT.model.log_prob(SUBJECT.images, seed=0).nats, rtol=0.02, atol=0
    )


def test_times_of_a_batch_are_spread_over_the_schedule():
    times = losses.spread(8, torch.tensor(0.7))
    assert sorted((times * 8).long().tolist()) == list(range(8))
    torch.testing.assert_close((times * 8) % 1, torch.full((8,), 0.6).double(), atol=1e-6, rtol=0)


def test_a_clipped_weight_counts_where_noise_is_nearly_all():
    process = Process("cosine", 1000, "x0")
    level = process.levels(torch.tensor([0, 500, 999]), torch.zeros((), dtype=torch.float64))
    clipped, snr = (
        losses.weighted(kind, process, level).flatten() for kind in ("clipped-snr", "min-snr")
    )
    torch.testing.assert_close(clipped, snr.clamp(min=1))
    assert (clipped[0], clipped[2]) == (5, 1)
    assert snr[2] < 1e-3
