"""Guidance and filling in, in float64 against closed forms: for Gaussian pictures everything is known."""

from types import SimpleNamespace

import pytest
import torch

from zoo import rng
from zoo.nn.diffusion import Process, choosing, guidance, ode, samplers, spacing
from zoo.nn.diffusion.predictions import Predicted, agreeing
from zoo.nn.diffusion.sampling import Run, Told, denoiser, sample, unwatched
from zoo.nn.diffusion.starting import Start

MEAN, DEVIATION = 0.3, 0.5


class Gaussian:
    """Answers eps for pictures of N(m, C), C of all numbers of a picture; a label moves m; counts its batches."""

    def __init__(self, process, covariance, shape=(1, 2, 2)):
        self.process, self.diffused, self.covariance = process, shape, covariance
        self.asked = []

    def like(self):
        return torch.zeros((), dtype=torch.float64)

    def answer(self, x, time, told):
        self.asked.append(len(x))
        level = self.process.level(time)
        mean = MEAN + told.get("label", torch.zeros(len(x), dtype=torch.float64))[:, None]
        total = (
            level.alpha**2 * self.covariance
            + level.sigma**2 * torch.eye(len(self.covariance)).double()
        )
        gain = level.alpha * self.covariance @ torch.linalg.inv(total)
        x0 = mean + (x.flatten(1) - level.alpha * mean) @ gain.T
        return agreeing(Predicted(x, x), x0.view_as(x), x, level).eps


def drawn(net, count, told=None, seed=0, start=None, push=None, **options):
    chosen = choosing.chosen(net.process, {"clip": False, **options})
    run = Run(net, count, chosen, told or Told({}), start or Start(), push)
    return sample(run, rng.streams(rng.generator(seed), count), unwatched)


def independent(count=4):
    return DEVIATION**2 * torch.eye(count, dtype=torch.float64)


def labels(count, value):
    return torch.full((count,), value, dtype=torch.float64)


@pytest.mark.parametrize("sampler", ["ddim", "dpm++2m", "heun"])
def test_guidance_of_shifted_gaussians_shifts_as_much(sampler):
    """Answers are affine in the shift, so weight w moves the whole flow by w shifts."""
    told = Told({"label": labels(3, 0.2)}, {"label": labels(3, 0.0)})
    moved, plain = (
        drawn(Gaussian(Process(steps=50, beta_end=0.2), independent()), 3, each, sampler=sampler, steps=50, **how)
        for each, how in ((told, {"guidance": 2.5}), (Told({"label": labels(3, 0.5)}), {}))
    )  # fmt: skip
    torch.testing.assert_close(moved, plain)


def test_guidance_acts_within_its_interval_alone():
    net = Gaussian(Process(), independent())
    told = Told({"label": labels(2, 0.2)}, {"label": labels(2, 0.0)})
    ratios = [step.at.ratio for step in choosing.chosen(net.process, {"steps": 12}).path]
    low, high = ratios[8], ratios[3]
    drawn(net, 2, told, steps=12, guidance=3.0, guidance_from=low, guidance_to=high)
    assert net.asked == [4 if low <= ratio <= high else 2 for ratio in ratios]
    nowhere = drawn(net, 2, told, steps=12, guidance=3.0, guidance_from=1e9)
    torch.testing.assert_close(nowhere, drawn(net, 2, told, steps=12))


def test_rescaled_guidance_has_the_deviation_of_the_condition():
    one, other = torch.randn(
        2, 3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    for share in (1.0, 0.7):
        found = guidance.classifier_free(one, other, 4.0, share)
        plain = guidance.classifier_free(one, other, 4.0)
        over = (1, 2, 3)
        wanted = share * one.std(over) + (1 - share) * plain.std(over)
        torch.testing.assert_close(found.std(over), wanted)


def test_dynamic_thresholding_divides_by_the_quantile_if_it_is_above_one():
    x0 = torch.linspace(-3, 3, 101, dtype=torch.float64).view(1, 1, 1, 101)
    found = guidance.dynamic(x0, 0.9)
    bound = float(x0.abs().flatten().quantile(0.9))
    torch.testing.assert_close(found, (x0 / bound).clamp(-1, 1))
    torch.testing.assert_close(guidance.dynamic(x0 / 4, 0.9), x0 / 4)
    net = Gaussian(Process(), 9 * independent())
    for options in ({"threshold": 0.9}, {"clip": True}):
        assert drawn(net, 4, steps=10, **options).abs().max() <= 1


@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 400), ("dpm++2m", 60), ("ddpm", 400)])
def test_a_classifier_tilts_the_distribution_it_guides(sampler, steps):
    """p(y | x_0) ~ exp(k x_0) makes N(m, c^2) into N(m + k c^2, c^2); the gradient is k alpha c^2 / total."""
    process, slope = Process("cosine", steps=1000), 1.5

    def push(x, level):
        total = (level.alpha * DEVIATION) ** 2 + level.sigma**2
        return torch.full_like(x, slope * level.alpha * DEVIATION**2 / total)

    given = drawn(Gaussian(process, independent()), 64, sampler=sampler, steps=steps, push=push)
    plain = drawn(Gaussian(process, independent()), 64, sampler=sampler, steps=steps)
    assert float((given - plain).mean()) == pytest.approx(slope * DEVIATION**2, rel=0.03)


def test_resampling_makes_what_is_filled_in_agree_with_what_is_kept():
    """Two numbers of correlation 0.95, one kept at m + 0.8: the other is about m + 0.76 (RePaint)."""
    both = DEVIATION**2 * torch.tensor([[1, 0.95], [0.95, 1]], dtype=torch.float64)
    image = torch.full((200, 1, 1, 2), MEAN + 0.8, dtype=torch.float64)
    mask = torch.tensor([0.0, 1.0], dtype=torch.float64).expand(200, 1, 1, 2)
    start, net = Start(image, 1.0, mask), Gaussian(Process(), both, (1, 1, 2))
    for sampler in ("ddpm", "pndm"):
        once, often = (
            drawn(net, 200, start=start, sampler=sampler, steps=50, resample=n) for n in (1, 8)
        )
        torch.testing.assert_close(often[..., 0], image[..., 0])
        assert float(often[..., 1].mean()) == pytest.approx(MEAN + 0.76, abs=0.08)
        assert float(once[..., 1].mean()) < MEAN + 0.6


@pytest.mark.parametrize("sampler", ["ddim", "dpm++2m", "dpm++3m", "unipc", "pndm"])
def test_a_run_from_a_picture_follows_the_flow_from_there(sampler):
    net, image = Gaussian(Process(), independent()), torch.full((1, 1, 2, 2), 0.7).double()
    found = drawn(net, 1, start=Start(image, 0.6), sampler=sampler, steps=200)
    first = choosing.chosen(net.process, {"steps": 200}).path.steps[80].at
    noise = rng.normal(rng.streams(rng.generator(0), 1), 1, 2, 2, dtype=torch.float64)
    z = first.noised(image, noise) / first.alpha
    end = net.process.level(0)  # from there the samplers take the foreseen picture
    shrunk = ((DEVIATION**2 + end.ratio**2) / (DEVIATION**2 + first.ratio**2)) ** 0.5
    want = MEAN + (z - MEAN) * shrunk
    want = MEAN + (want - MEAN) * DEVIATION**2 / (DEVIATION**2 + end.ratio**2)
    torch.testing.assert_close(found, want, atol=4e-3 if sampler != "ddim" else 0.02, rtol=0)


def test_the_trace_of_a_correlated_flow_is_exact_or_its_estimate_unbiased():
    process = Process("cosine", 200, "eps")
    mixing = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) / 3
    net = Gaussian(process, mixing @ mixing.T + 0.05 * torch.eye(3), (1, 1, 3))
    denoise = denoiser(Run(net, 1, choosing.chosen(process, {"clip": False}), Told({})))
    image = torch.tensor([0.1, 0.5, 0.2], dtype=torch.float64).view(1, 1, 1, 3)
    exact = ode.log_density(denoise, image, process, 60, None)
    first, last = ode.ends(process)
    ours = torch.distributions.MultivariateNormal(
        torch.full((3,), MEAN).double(), net.covariance + first.ratio**2 * torch.eye(3)
    )
    assert last.alpha < 0.01  # the flow ends where the model begins
    torch.testing.assert_close(exact, ours.log_prob(image.flatten())[None], atol=2e-3, rtol=0)
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 3).view(8, 1, 1, 3)
    each = ode.log_density(denoise, image.expand(8, -1, -1, -1), process, 60, signs)
    assert each.std() > 0.01
    torch.testing.assert_close(each.mean(), exact[0], atol=1e-9, rtol=0)


def test_churned_steps_end_at_the_data():
    net = Gaussian(Process(), independent())
    plain, found = (drawn(net, 400, sampler="heun", steps=40, churn=churn) for churn in (0.0, 20.0))
    assert float((found - plain).abs().mean()) > 0.3
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.04)
    assert float(found.std()) == pytest.approx(DEVIATION, rel=0.06)


@pytest.mark.parametrize("sampler", ["heun", "euler"])
@pytest.mark.parametrize(
    "process", [Process("flow", 100, "velocity"), Process("cosine", 100, "v", zero_snr=True)]
)
def test_churn_leaves_pure_noise_as_it_is(sampler, process):
    class Known(Gaussian):
        def answer(self, x, time, told):
            self.asked.append(len(x))
            return torch.zeros_like(x)

    net = Known(process, independent())
    plain, found = (drawn(net, 2, sampler=sampler, steps=1, churn=churn) for churn in (0.0, 5.0))
    assert torch.equal(found, plain)
    assert bool(drawn(net, 2, sampler=sampler, steps=6, churn=5.0).isfinite().all())


def test_pndm_asks_once_more_than_it_steps_and_its_first_step_is_of_two_answers():
    net = Gaussian(Process(), independent())
    found = drawn(net, 2, sampler="pndm", steps=6)
    assert len(net.asked) == 7
    path = spacing.pndm_path(spacing.path(net.process, 6))
    chosen = choosing.chosen(net.process, {"sampler": "pndm", "steps": 6, "clip": False})
    denoise = denoiser(Run(net, 2, chosen, Told({})))
    noise = rng.normal(rng.streams(rng.generator(0), 2), 1, 2, 2, dtype=torch.float64)
    *_, last = samplers.pndm(denoise, noise, path, chosen.options, lambda: noise)
    assert torch.equal(found, last.x)


def test_what_is_asked_in_all_is_counted_for_the_bar():
    start = Start(torch.zeros(2, 1, 2, 2).double(), 0.5, torch.ones(2, 1, 2, 2).double())
    for sampler in choosing.METHODS:
        for begin, how in ((Start(), {}), (start, {"resample": 2, "jump": 3})):
            net, told = Gaussian(Process(), independent()), SimpleNamespace(total=0)

            def bar(states, total=None, label="", told=told):
                told.total = total
                return states

            chosen = choosing.chosen(
                net.process, {"sampler": sampler, "steps": 9, "clip": False, **how}
            )
            sample(Run(net, 2, chosen, Told({}), begin), rng.streams(rng.generator(0), 2), bar)
            assert told.total == len(net.asked), (sampler, how)
