"""What can be asked of a diffusion model, and how it says what cannot."""

import pytest
import torch

from zoo import rng
from zoo.errors import RequestError
from zoo.nn.diffusion import Process
from zoo_diffusion import asking, choosing, inversion, sampling, training
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
        choosing.chosen(model(process), {"sampler": sampler}, Asked())


BAD_REQUESTS = {
    "a mask of the wrong size": ({"image": IMAGE, "mask": torch.ones(5, 4)}, r"\(4, 4\)"),
    "a mask of greys": ({"image": IMAGE, "mask": torch.full((4, 4), 0.5)}, "only 0"),
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
        asking.asked(model(), request, 1)


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
    net, images = model(), IMAGE.expand(2, -1, -1, -1)
    with torch.no_grad():
        few, many, fine = (
            float(
                (inversion.decode(net, inversion.encode(net, images, asked), asked) - images)
                .abs()
                .max()
            )
            for asked in (Asked(steps=20), Asked(steps=100), Asked(steps=20, refine=60))
        )
    assert fine < 1e-9 < many < few / 2
