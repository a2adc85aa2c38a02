"""The terms of the bound one by one, as torch.distributions and pythae give them."""

from __future__ import annotations

from collections.abc import Mapping
from math import log, pi

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.parity import Case
from zoo_vae import gaussian
from zoo_vae.likelihoods import Bernoulli, Gaussian

INPUTS = {"mu", "logvar", "x"}


class TermsRunner:
    """KLs, log-likelihoods, log-weights and bounds of recorded posteriors and decoders' numbers."""

    name = "vae-elbo-terms"

    def recognise(self, case: Case) -> bool:
        """By its files."""
        return set(case.inputs) >= INPUTS and not case.files and "kl_standard" in case.outputs

    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        given = case.inputs
        out: dict[str, Tensor] = {}
        for needed, terms in (
            (INPUTS, divergences),
            ({"x_binary", "recon_logits"}, bernoulli),
            ({"recon_mean"}, continuous),
            ({"eps", "W", "x_binary"}, weights),
        ):
            if needed <= set(given):
                out |= terms(given)
        kl = out["kl_standard"]
        for name, likely in (("bernoulli", "bernoulli_nll"), ("gaussian", "gaussian_nll")):
            if likely in out:
                out[f"elbo_{name}"] = -out[likely] - kl
        return out | pythae(given, kl, out)


def divergences(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """KL to N(0, I) and to a second Gaussian, and the entropy, (B,) each."""
    mean, scale = given["mu"], (given["logvar"] / 2).exp()
    out = {
        "kl_standard": gaussian.kl_each(mean, scale).sum(-1),
        "entropy": gaussian.entropy(scale),
    }
    if {"mu2", "logvar2"} <= set(given):
        out["kl_two"] = gaussian.kl(mean, scale, given["mu2"], (given["logvar2"] / 2).exp())
    return out


def bernoulli(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """-ln p of the binary picture, and the cross-entropy with the grey one as its target, (B,)."""
    logits, grey = given["recon_logits"], given["x"]
    out = {"bernoulli_nll": -Bernoulli().log_prob(logits, given["x_binary"] * 2 - 1)}
    soft = F.softplus(logits) - grey * logits  # -x ln p - (1 - x) ln(1 - p)
    out["bce_soft_targets"] = soft.flatten(1).sum(1)
    out["continuous_bernoulli_nll"] = (soft - log_normaliser(logits)).flatten(1).sum(1)
    return out


def log_normaliser(logits: Tensor) -> Tensor:
    """The continuous Bernoulli's ln C, C = 2 artanh(1 - 2 p) / (1 - 2 p) = a / tanh(a / 2), p = sigmoid(a).

    Loaiza-Ganem & Cunningham, 2019, arXiv:1907.06845; near a = 0 its series, ln 2 + a^2 / 12.
    """
    a = logits.double().abs()
    near = log(2) + a.square() / 12
    safe = a.clamp(min=1e-3)
    return torch.where(a < 1e-3, near, (safe / torch.tanh(safe / 2)).log()).to(logits)


def continuous(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """-ln p of the grey picture: Gaussians of variance 1 and exp(recon_logvar), Laplace of scale 0.3; (B,)."""
    x, mean = given["x"], given["recon_mean"]
    out = {"gaussian_unit_nll": -_gaussian(x, mean, torch.zeros_like(mean))}
    if "recon_logvar" in given:
        out["gaussian_nll"] = -_gaussian(x, mean, given["recon_logvar"] / 2)
    laplace = (x - mean).abs() / LAPLACE + log(2 * LAPLACE)
    return out | {"laplace_nll": laplace.flatten(1).sum(1)}


LAPLACE = 0.3


def _gaussian(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    return Gaussian("pixel").log_prob(torch.cat([mean, log_scale], 1), x)


def weights(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Log-weights (K, B) under the linear Bernoulli decoder z W, and the bounds they give, (B,)."""
    mean, scale, noise = given["mu"], (given["logvar"] / 2).exp(), given["eps"]
    picture, z = given["x_binary"] * 2 - 1, mean + scale * noise  # (K, B, D)
    logits = (z @ given["W"]).view(len(z), *picture.shape)  # (K, B, C, H, W)
    likely = torch.stack([Bernoulli().log_prob(each, picture) for each in logits])  # (K, B)
    prior = gaussian.log_density(z, torch.zeros_like(z), torch.ones_like(z))
    each = likely + prior - gaussian.log_density(z, mean, scale)
    return {
        "log_weights": each,
        "iwae_bound": each.logsumexp(0) - log(len(each)),
        "elbo_monte_carlo": each.mean(0),
        "elbo_analytic_kl": likely.mean(0) - gaussian.kl_each(mean, scale).sum(-1),
    }


def pythae(
    given: Mapping[str, Tensor], kl: Tensor, found: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Its loss for both reconstruction terms, means over the batch, (1,) each."""
    out: dict[str, Tensor] = {}
    for name, likely in (("mse", "gaussian_unit_nll"), ("bce", "bce_soft_targets")):
        if likely not in found:
            continue
        constant = given["x"][0].numel() * log(2 * pi) / 2 if name == "mse" else 0.0
        recon = (found[likely] - constant).mean()
        out |= {f"pythae_{name}.recon": recon, f"pythae_{name}.kld": kl.mean()}
        out[f"pythae_{name}.loss"] = recon + kl.mean()
    return {key: value.view(1) for key, value in out.items()}
