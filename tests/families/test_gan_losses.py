"""The losses of a GAN against closed forms: two known densities, a linear discriminator, a known matrix."""

import math

import pytest
import torch

from zoo_gan import losses
from zoo_gan.augment import CHANGES, augmented
from zoo_gan.discriminators import Discriminator

P = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)  # of real pictures, four of them
Q = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)  # of made ones


def expected(kind, logits):
    """E_p f(D) + E_q g(D) over the four pictures, from the loss as it is."""
    loss = losses.DISCRIMINATOR[kind]
    far = torch.full((1,), 1e3 if kind == "hinge" else 1e9, dtype=torch.float64)
    real = torch.stack([loss(each[None], -far) for each in logits])  # the other term is 0
    made = torch.stack([loss(far, each[None]) for each in logits])
    return (P * real).sum() + (Q * made).sum()


def test_the_best_logistic_discriminator_is_the_log_ratio_and_gives_jensen_and_shannon():
    best = (P / Q).log().requires_grad_()
    value = expected("non-saturating", best)
    (slope,) = torch.autograd.grad(value, best)
    assert slope.abs().max() < 1e-12
    middle = (P + Q) / 2
    divergence = ((P * (P / middle).log()).sum() + (Q * (Q / middle).log()).sum()) / 2
    assert float(value.detach()) == pytest.approx(
        2 * math.log(2) - 2 * float(divergence), abs=1e-12
    )


def test_the_best_hinge_discriminator_is_the_sign_and_gives_the_total_variation():
    best = (P - Q).sign()
    value = float(expected("hinge", best))
    assert value == pytest.approx(2 - float((P - Q).abs().sum()), abs=1e-12)
    for seed in range(20):
        other = best + torch.randn(
            4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
        assert float(expected("hinge", other)) > value


@pytest.mark.parametrize("kind", losses.GENERATOR)
def test_a_generator_s_loss_falls_as_its_pictures_are_believed(kind):
    logits = torch.tensor([-2.0, 0.5], dtype=torch.float64, requires_grad=True)
    value = losses.GENERATOR[kind](logits)
    (slope,) = torch.autograd.grad(value, logits)
    if kind == "hinge":
        assert float(value.detach()) == 0.75
        assert slope.tolist() == [-0.5, -0.5]
    else:  # -d softplus(-l) / dl = sigmoid(-l): strong where the discriminator is sure, unlike log(1 - D)
        assert torch.allclose(slope, -torch.sigmoid(-logits) / 2, rtol=1e-12)
        assert slope[0] < slope[1] < 0


def test_r1_of_a_linear_discriminator_is_the_length_of_its_weight_squared():
    weight = torch.randn(12, dtype=torch.float64, requires_grad=True)
    images = torch.randn(5, 3, 2, 2, dtype=torch.float64)
    penalty = losses.r1(lambda x: x.flatten(1) @ weight, images)
    assert torch.allclose(penalty, weight.square().sum(), rtol=1e-14)
    (slope,) = torch.autograd.grad(penalty, weight)
    assert torch.allclose(slope, 2 * weight.detach(), rtol=1e-14)
    assert not images.requires_grad


def test_spectral_norm_divides_by_the_largest_singular_value():
    torch.manual_seed(0)
    critic = Discriminator(3, 4, widths=(4, 6, 8), deep=True).double().train()
    images, labels = torch.randn(2, 3, 16, 16, dtype=torch.float64), torch.tensor([0, 3])
    with torch.no_grad():
        for _ in range(150):  # power iterations, one a pass
            critic(images, labels)
        critic.eval()
        layers = [m for m in critic.modules() if hasattr(m, "parametrizations")]
        assert len(layers) == 1 + 2 * 3 + 1 + 1 + 1
        for layer in layers:
            largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
            assert abs(float(largest) - 1) < 1e-4


def test_labels_move_a_logit_by_their_projection():
    torch.manual_seed(0)
    critic = Discriminator(3, 4, widths=(4, 8), spectral=False).double()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    seen = critic.features(images)
    zero, three = (critic(images, torch.full((2,), label)) for label in (0, 3))
    apart = critic.project.weight[3] - critic.project.weight[0]
    assert torch.allclose(three - zero, seen @ apart, atol=1e-12)


@pytest.mark.parametrize("name", CHANGES)
def test_augmentation_has_a_gradient_and_treats_each_picture_anew(name):
    torch.manual_seed(1)
    images = torch.rand(1, 3, 16, 16, dtype=torch.float64).repeat(6, 1, 1, 1).requires_grad_()
    changed = augmented(images, [name])
    assert changed.shape == images.shape
    assert len({float(each.sum()) for each in changed.detach()}) > 1
    (slope,) = torch.autograd.grad(changed.sum(), images)
    assert slope.flatten(1).abs().sum(1).min() > 0


def test_translation_moves_without_changing_a_value():
    torch.manual_seed(0)
    images = torch.rand(8, 1, 16, 16) + 1  # nothing is 0
    moved = CHANGES["translation"](images)
    for one, other in zip(images, moved, strict=True):
        inside = other[other != 0]
        assert len(inside) >= 14 * 14
        assert set(inside.tolist()) <= set(one.flatten().tolist())
