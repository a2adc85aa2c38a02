"""Diffusion's mathematics in float64 against closed forms: for pictures drawn from N(m, c^2) everything is known."""

import math
from itertools import pairwise

import pytest
import torch

from zoo.nn.diffusion import (
    Path,
    Predicted,
    Process,
    bounds,
    losses,
    ode,
    posterior,
    predictions,
    samplers,
    spacing,
)
from zoo.nn.diffusion.levels import CLEAN, Level
from zoo.nn.diffusion.predictions import agreeing

MEAN, DEVIATION = 0.3, 0.5
PROCESSES = {
    "linear": Process(),
    "cosine": Process("cosine", prediction="v"),
    "sigmoid": Process("sigmoid", prediction="v"),
    "zero snr": Process(prediction="v", zero_snr=True),
    "edm": Process("edm", prediction="edm"),
    "flow": Process("flow", prediction="velocity"),
}
FINITE = ("linear", "cosine", "sigmoid", "edm")


def gaussian(x, level):
    """E[x_0 | x] where x_0 ~ N(MEAN, DEVIATION^2)."""
    total = (level.alpha * DEVIATION) ** 2 + level.sigma**2
    x0 = MEAN + level.alpha * DEVIATION**2 / total * (x - level.alpha * MEAN)
    return agreeing(Predicted(x0, x), x0, x, level)


def drawn(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", PROCESSES)
def test_levels_agree_with_tensors_of_levels_and_with_their_ratio(name):
    process = PROCESSES[name]
    times = [1, 100, 700] if not process.continuous else [0.01, 0.4, 0.9]
    several = process.levels(torch.tensor(times), torch.empty((), dtype=torch.float64))
    for index, t in enumerate(times):
        level = process.level(t)
        assert float(several.alpha[index]) == pytest.approx(level.alpha, abs=1e-6)
        assert float(several.sigma[index]) == pytest.approx(level.sigma, abs=1e-6)
        again = process.at(level.ratio)
        assert (again.alpha, again.sigma) == pytest.approx((level.alpha, level.sigma), rel=1e-9)
        assert again.time == pytest.approx(level.time, abs=1e-6)


@pytest.mark.parametrize("kind", predictions.KINDS)
def test_a_perfect_answer_gives_picture_and_noise_back(kind):
    level = Level(0.0, 1.0, 0.7, (0.49 + 0.25) ** -0.5) if kind == "edm" else Level(0.0, 0.8, 0.6)
    x0, eps = drawn(2, 1, 3, 3), drawn(2, 1, 3, 3, seed=1)
    answer = predictions.target(kind, x0, eps, level, 0.5)
    found = predictions.predicted(kind, answer, level.noised(x0, eps), level, 0.5)
    torch.testing.assert_close(found.x0, x0)
    torch.testing.assert_close(found.eps, eps)
    other = predictions.predicted(kind, answer + 0.1, level.noised(x0, eps), level, 0.5)
    gain = predictions.gain(kind, level, 0.5)
    torch.testing.assert_close((other.x0 - x0).abs(), torch.full_like(x0, 0.1 * gain))


@pytest.mark.parametrize("name", PROCESSES)
def test_the_posterior_is_bayes_rule(name):
    process = PROCESSES[name]
    at, to = spacing.path(process, 10).steps[4].at, spacing.path(process, 10).steps[4].to
    x0, x = 0.4, -0.2
    step_variance = posterior.beta(
        at, to
    )  # q(x_t | x_s) = N(a x_s, beta), q(x_s | x_0) = N(alpha_s x_0, sigma_s^2)
    a = at.alpha / to.alpha
    precision = a**2 / step_variance + 1 / to.sigma**2
    of_picture, of_x = posterior.coefficients(at, to)
    assert posterior.variance(at, to) == pytest.approx(1 / precision)
    mean = (a * x / step_variance + to.alpha * x0 / to.sigma**2) / precision
    assert of_picture * x0 + of_x * x == pytest.approx(mean)


def test_masses_of_8_bit_pixels_sum_to_one():
    levels = (torch.arange(256, dtype=torch.float64) / 127.5 - 1)[:, None]
    mean, scale = torch.tensor([[-0.9, 0.1, 0.99]], dtype=torch.float64), -2.0
    found = posterior.discretised(levels.expand(-1, 3), mean.expand(256, -1), scale)
    torch.testing.assert_close(found.exp().sum(0), torch.ones(3, dtype=torch.float64))


def test_every_spacing_visits_the_levels_that_it_says():
    wanted = {
        "leading": [800, 600, 400, 200, 0],
        "trailing": [999, 799, 599, 399, 199],
        "linspace": [999, 749, 500, 250, 0],
    }
    for name, times in wanted.items():
        found = spacing.levels(Process(), 5, name)
        assert [each.time for each in found] == times
        assert found[2] == Process().level(times[2])
    moved = spacing.levels(Process(), 5, "leading", 3)
    assert [each.time for each in moved] == [803, 603, 403, 203, 3]
    ends = [Process().level(t).ratio for t in (999, 0)]
    for name, straight in (("karras", lambda s: s ** (1 / 7)), ("exponential", math.log)):
        ratios = [each.ratio for each in spacing.levels(Process(), 5, name)]
        assert (ratios[0], ratios[-1]) == pytest.approx(ends)
        row = [straight(each) for each in ratios]
        assert [b - a for a, b in pairwise(row)] == pytest.approx([(row[-1] - row[0]) / 4] * 4)


ORDERS = {
    "ddim": (samplers.ddim, {}, 1),
    "euler": (samplers.euler, {}, 1),
    "heun": (samplers.heun, {}, 2),
    "dpm++2m": (samplers.dpm, {"lower_last": False}, 2),
    "dpm++2s": (samplers.dpm_single, {}, 2),
    "unipc": (samplers.unipc, {"lower_last": False}, 2),
    "pndm": (samplers.pndm, {}, 2),
}


@pytest.mark.parametrize("name", ORDERS)
def test_samplers_follow_the_probability_flow_at_their_order(name):
    """From ratio a to ratio b the flow maps z to m + (z - m) sqrt((c^2 + b^2) / (c^2 + a^2))."""
    sampler, how, order = ORDERS[name]
    process, z = Process(), drawn(1, 1, 2, 2)
    low, high = 0.2, 5.0
    errors = []
    for count in (80, 160):  # fewer, and an error may cross zero
        ratios = [low * (high / low) ** (1 - i / count) for i in range(count + 1)]
        path = Path.through([process.at(each) for each in ratios], process.at)
        path = spacing.pndm_path(path) if name == "pndm" else path
        options = samplers.Options(last_first_order=False, **how)
        begin, end = path.steps[0].at, path.steps[-1].to
        *_, last = sampler(gaussian, z * begin.alpha, path, options, lambda: z)
        exact = MEAN + (z - MEAN) * ((DEVIATION**2 + low**2) / (DEVIATION**2 + high**2)) ** 0.5
        errors.append(float((last.x / end.alpha - exact).abs().max()))
    assert errors[1] < errors[0] / 2 ** (order - 0.35)


@pytest.mark.parametrize("sampler", [samplers.ddpm, samplers.lcm])
def test_stochastic_samplers_end_at_the_data(sampler):
    process, source = Process(), torch.Generator().manual_seed(0)

    def noise():
        return torch.randn(4000, 1, 1, 1, dtype=torch.float64, generator=source)

    path = spacing.path(process, 100)
    options = samplers.Options(variance="posterior" if sampler is samplers.ddpm else "beta")
    *_, last = sampler(gaussian, noise(), path, options, noise)
    assert float(last.x.mean()) == pytest.approx(MEAN, abs=0.03)
    if sampler is samplers.ddpm:
        assert float(last.x.std()) == pytest.approx(DEVIATION, rel=0.05)


@pytest.mark.parametrize("name", FINITE)
@pytest.mark.parametrize("exact", [True, False])
def test_the_flows_likelihood_of_gaussian_data_is_theirs(name, exact):
    process, images = PROCESSES[name], MEAN + DEVIATION * drawn(3, 1, 2, 2)
    signs = (
        None if exact else drawn(3, 1, 2, 2, seed=2).sign()
    )  # the Jacobian is diagonal: any signs are exact
    coarse, fine = (ode.log_density(gaussian, images, process, n, signs) for n in (60, 120))
    first, last = ode.ends(process)
    variance = DEVIATION**2 + first.ratio**2
    each = -0.5 * ((images - MEAN) ** 2 / variance + math.log(2 * math.pi * variance))
    # the flow ends in N(alpha m, alpha^2 c^2 + sigma^2), the model in N(0, 1) or N(0, high^2)
    spread = (
        MEAN + (images - MEAN) * ((DEVIATION**2 + last.ratio**2) / variance) ** 0.5
    ) * last.alpha
    model = process.start**2
    true = (last.alpha * DEVIATION) ** 2 + last.sigma**2
    ends = 0.5 * (
        (spread - last.alpha * MEAN) ** 2 / true - spread**2 / model + math.log(true / model)
    )
    want = (each + ends).flatten(1).sum(1)
    errors = [float((found - want).abs().max()) for found in (coarse, fine)]
    assert errors[1] < errors[0] / 8  # of fourth order
    assert errors[1] < 2e-4


def test_the_bound_of_one_step_is_the_kl_of_gaussians():
    process = Process("cosine", 10, variance="posterior")
    step = spacing.path(process, 10).steps[3]
    images, e = drawn(2, 1, 2, 2), drawn(2, 1, 2, 2, seed=1)
    x = step.at.noised(images, e)
    found = gaussian(x, step.at)
    nats = bounds.step_nats(found, images, x, step, "posterior")
    weight = (
        posterior.coefficients(step.at, step.to)[0] ** 2 / posterior.variance(step.at, step.to) / 2
    )
    torch.testing.assert_close(nats, weight * (found.x0 - images).square().flatten(1).sum(1))


def test_terms_at_times_of_their_own_are_those_of_the_path():
    process = Process("cosine", 10, variance="learned-range")
    images, e, spread = drawn(10, 1, 2, 2), drawn(10, 1, 2, 2, seed=1), drawn(10, 1, 2, 2, seed=2)
    t = torch.arange(10)
    x = process.levels(t, images).noised(images, e)
    output = torch.cat([e + 0.1, spread], 1)
    found = losses.term(process, output, x, images, t, held=False)
    for index, step in enumerate(reversed(spacing.path(process, 10).steps)):
        row = slice(index, index + 1)
        read = process.read(output[row], x[row], step.at)
        nats = bounds.step_nats(read, images[row], x[row], step, process.variance)
        torch.testing.assert_close(found[row], nats / (4 * math.log(2)))


@pytest.mark.parametrize("kind", ["min-snr", "edm", "flow"])
@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "velocity"])
def test_a_weighted_loss_is_the_same_whatever_the_net_answers(kind, prediction):
    process = Process(prediction=prediction)
    level = process.levels(torch.tensor([10, 500]), torch.empty((), dtype=torch.float64))
    images, noise = drawn(2, 1, 2, 2), drawn(2, 1, 2, 2, seed=1)
    x, wrong = level.noised(images, noise), images + 0.1
    answer = predictions.target(prediction, wrong, (x - wrong * level.alpha) / level.sigma, level)
    found = losses.squares(kind, process, answer, images, noise, level)
    snr = (level.alpha / level.sigma).flatten() ** 2
    wanted = {"min-snr": snr.clamp(max=5), "edm": (1 / snr + 0.25) * snr / 0.25,
              "flow": ((level.alpha + level.sigma) / level.sigma).flatten() ** 2}[kind]  # fmt: skip
    torch.testing.assert_close(found, wanted * 0.01)


def test_the_last_level_is_the_clean_picture():
    for name, process in PROCESSES.items():
        assert spacing.path(process, 5).steps[-1].to == CLEAN, name
