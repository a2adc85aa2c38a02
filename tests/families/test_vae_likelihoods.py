"""Distributions of pixels: normalised, the same as their tables, drawn as they say."""

import pytest
import torch

from zoo import rng
from zoo.errors import ImageError
from zoo_vae.likelihoods import Bernoulli, Gaussian, Logistic, likelihood


def numbers(density, *shape, seed=0):
    torch.manual_seed(seed)
    channels, height, width = shape[1:]
    return torch.randn(shape[0], density.numbers * channels, height, width, dtype=torch.float64)


def levels(*shape, seed=1):
    torch.manual_seed(seed)
    return torch.randint(256, shape) / 127.5 - 1


@pytest.mark.parametrize("mean", [-1.7, -1.0, -0.2, 0.003, 0.98, 1.4])
@pytest.mark.parametrize("log_scale", [-7.0, -4.0, -1.0, 1.5])
def test_the_256_levels_sum_to_one_and_are_differences_of_the_distribution_function(
    mean, log_scale
):
    given = torch.tensor([mean, log_scale], dtype=torch.float64).view(1, 2, 1, 1)
    table = Logistic("pixel").tables(given)
    assert table.shape == (1, 1, 256)
    assert float(table.sum()) == pytest.approx(1, abs=1e-12)
    edges = (torch.arange(255, dtype=torch.float64) + 0.5) / 127.5 - 1
    below = torch.cat(
        [torch.zeros(1), ((edges - mean) / torch.tensor(log_scale).exp()).sigmoid(), torch.ones(1)]
    )
    torch.testing.assert_close(table[0, 0], below.diff(), rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("scale", ["pixel", "shared"])
def test_log_prob_of_grey_levels_is_the_product_of_its_tables(scale):
    density = Logistic(scale).double()
    given, images = numbers(density, 2, 3, 4, 5), levels(2, 3, 4, 5)
    table, symbols = density.tables(given), density.symbols(images)
    chosen = table.gather(-1, symbols[..., None]).squeeze(-1)
    torch.testing.assert_close(density.log_prob(given, images), chosen.log().sum(1))
    back = density.pictures(symbols).view(2, 3, 4, 5)
    torch.testing.assert_close(back, images, rtol=0, atol=1e-6)


def test_log_prob_of_black_and_white_is_the_product_of_its_tables():
    density = Bernoulli()
    given = numbers(density, 2, 1, 4, 5)
    images = torch.where(torch.rand(2, 1, 4, 5) < 0.5, 1.0, -1.0).double()
    table, symbols = density.tables(given), density.symbols(images)
    torch.testing.assert_close(table.sum(-1), torch.ones(2, 20).double())
    chosen = table.gather(-1, symbols[..., None]).squeeze(-1)
    torch.testing.assert_close(density.log_prob(given, images), chosen.log().sum(1))
    assert torch.equal(density.pictures(symbols).view(2, 1, 4, 5), images)


@pytest.mark.parametrize("log_scale", [-30.0, -7.0])
def test_a_sharp_grey_level_is_finite_with_finite_gradients(log_scale):
    mean = torch.tensor([-1.0, -0.5, 0.0, 1.0]).view(1, 1, 1, 4)
    given = torch.cat([mean, torch.full_like(mean, log_scale)], 1).requires_grad_()
    far = torch.tensor([1.0, 0.5, -1.0, -1.0]).view(1, 1, 1, 4)
    for images in (mean.detach(), far):
        nats = Logistic("pixel").log_prob(given, images)
        (slope,) = torch.autograd.grad(nats.sum(), given)
        assert bool(nats.isfinite().all())
        assert bool(slope.isfinite().all())


def test_gaussian_is_the_density_of_torch():
    density = Gaussian("pixel")
    given, images = numbers(density, 2, 3, 4, 5), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    mean, log_scale = given.chunk(2, 1)
    wanted = torch.distributions.Normal(mean, log_scale.exp()).log_prob(images).sum((1, 2, 3))
    torch.testing.assert_close(density.log_prob(given, images), wanted)


@pytest.mark.parametrize("kind", ["bernoulli", "logistic", "gaussian"])
def test_draws_have_the_mean_of_the_distribution(kind):
    density = likelihood({"kind": kind}).double()
    row = torch.tensor([0.4, -2.0][: density.numbers], dtype=torch.float64)
    given = row.view(1, -1, 1, 1).expand(1, -1, 20, 20)
    drawn = density.draw(given, rng.streams(rng.generator(0), 1))
    error = drawn.std() / 20
    assert abs(drawn.mean() - density.mean(given).mean()) < 4 * error
    if kind == "bernoulli":
        assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    if kind == "logistic":
        density.symbols(drawn)  # every pixel is a grey level


def test_greys_are_refused_with_the_way_to_black_and_white():
    density = Bernoulli()
    grey = torch.full((1, 1, 2, 2), 0.25)
    for refused in (density.symbols, lambda images: density.log_prob(images, images)):
        with pytest.raises(ImageError, match=r"zoo\.data\.binarise"):
            refused(grey)
    with pytest.raises(ImageError, match="between the 256"):
        Logistic().symbols(torch.full((1, 1, 2, 2), 0.2501))


def test_an_unknown_kind_or_scale_is_named():
    with pytest.raises(ValueError, match="bernoulli, gaussian, logistic"):
        likelihood({"kind": "poisson"})
    with pytest.raises(ValueError, match="'shared' and 'pixel'"):
        likelihood({"kind": "logistic", "scale": "channel"})
