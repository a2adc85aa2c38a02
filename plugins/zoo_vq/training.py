"""What training a tokenizer or an autoencoder minimises; a second objective, the discriminator's, for a VQ-GAN.

    L_rec = w_x |x - x^|^p + w_p LPIPS(x, x^) + w_z L_latent + w_l |m - m_teacher|^2
    L_gen = L_rec - lambda A(x^)
    lambda = w_a |d L_rec / d W| / (|d A(x^) / d W| + 1e-4)      W the decoder's last layer
    L_A   = mean max(0, 1 - A(x)) + mean max(0, 1 + A(x^))

Esser et al., 2020, arXiv:2012.09841, equations 6 and 7; for a dVAE -log p(x | q) of the logit-Laplace distribution
instead of the pixels, see `zoo_vq.dvae`. The two gradients are taken at the picture x^ first: one pass through LPIPS
and one through A give both lambda (two products with the last layer alone) and the gradient that goes on through the
decoder, where differentiating the losses by W directly would walk LPIPS and A twice. A teacher (`like`) is an earlier
version, whose latents are kept while more kinds of pictures are learned: what works in them goes on working.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

import zoo
from zoo import options
from zoo.errors import RequestError
from zoo.nn.discriminator import PatchDiscriminator, hinge_loss
from zoo.nn.lpips import LPIPS
from zoo.train.objective import Batch, Objective
from zoo_vq import dvae
from zoo_vq.autoencoder.net import Autoencoder, Drawn
from zoo_vq.net import Tokenizer


@dataclass(frozen=True)
class Weights:
    """The recipe's [objective] table; a weight of 0 leaves its term out."""

    pixel: Literal["l1", "l2", "logit-laplace"] = "l1"
    pixel_weight: float = 1.0
    perceptual: Literal["alex", "vgg"] = "alex"
    perceptual_weight: float = 0.0
    latent_weight: float = 1.0  # of the quantizer's loss, or of the KL a number
    adversarial_weight: float = 0.0  # w_a; 0: a VQ-VAE, without a discriminator
    adversarial_start: int = 0  # first step at which the discriminator has a say
    discriminator_width: int = 64
    discriminator_layers: int = 3
    train: Literal["all", "decoder"] = "all"  # "decoder" keeps every token as it is
    like: str = ""  # an autoencoder, "name@version", whose latents are kept: what works in them goes on working
    like_weight: float = 1.0  # of the mean squared distance of the means

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Weights:
        return options.settings(cls, table, "[objective] of a tokenizer")


def pixel_loss(kind: str, reconstruction: Tensor, images: Tensor) -> Tensor:
    """Mean absolute or squared difference over (B, C, H, W)."""
    difference = reconstruction - images
    return difference.abs().mean() if kind == "l1" else difference.square().mean()


def balance(reconstruction: Tensor, adversarial: Tensor, weight: float) -> Tensor:
    """The weight lambda () from the two losses' gradients at the last layer, any shapes; at most 1e4 times `weight`."""
    ratio: Tensor = reconstruction.norm() / (adversarial.norm() + 1e-4)
    return weight * ratio.clamp(0.0, 1e4)


class TokenizerLoss(nn.Module):
    """What the objectives share, as far as the weights ask for it: LPIPS, a teacher, the discriminator.

    The first two are frozen.
    """

    def __init__(self, net: Tokenizer | Autoencoder, weights: Weights) -> None:
        super().__init__()
        self.weights = weights
        self.perceptual = LPIPS(weights.perceptual) if weights.perceptual_weight else None
        self.teacher = _teacher(weights.like, net) if weights.like else None
        self.discriminator = (
            PatchDiscriminator(
                net.channels, weights.discriminator_width, weights.discriminator_layers
            )
            if weights.adversarial_weight
            else None
        )
        if self.discriminator is not None:
            self.discriminator.initialize()

    def similarity(
        self, reconstruction: Tensor, images: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """w_x pixels + w_p LPIPS of (B, C, H, W), and the two terms by name."""
        pixels = pixel_loss(self.weights.pixel, reconstruction, images)
        total = self.weights.pixel_weight * pixels
        terms: dict[str, Tensor] = {self.weights.pixel: pixels.detach()}
        if self.perceptual is not None:
            lpips = self.perceptual(reconstruction, images).mean()
            total, terms["lpips"] = total + self.weights.perceptual_weight * lpips, lpips.detach()
        return total, terms

    def strayed(self, images: Tensor, mean: Tensor) -> Tensor:
        """Mean squared distance () of latents (B, D, h, w) from the teacher's of the same images."""
        if self.teacher is None:
            raise ValueError("like is empty: there is no teacher")
        with torch.no_grad():
            theirs = self.teacher.drawn(self.teacher.moments(images), None)
        return (mean - theirs).square().mean()

    def adversarial(
        self, net: Tokenizer | Autoencoder, reconstruction: Tensor, images: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A scalar whose value is L_rec - lambda A(x^) and whose gradient by `reconstruction` is exact."""
        if self.discriminator is None:
            raise ValueError("adversarial_weight is 0: there is no discriminator")
        picture = reconstruction.detach().requires_grad_()
        similar, terms = self.similarity(picture, images)
        believed = self.discriminator(picture).mean()
        (pull,) = torch.autograd.grad(similar, picture)  # (B, C, H, W)
        (push,) = torch.autograd.grad(-believed, picture)  # (B, C, H, W)
        last = net.last_layer()
        (by_pull,) = torch.autograd.grad(reconstruction, last, pull, retain_graph=True)
        (by_push,) = torch.autograd.grad(reconstruction, last, push, retain_graph=True)
        weight = balance(by_pull, by_push, self.weights.adversarial_weight)
        slope = pull + weight * push
        value = similar.detach() - weight * believed.detach()
        linear = (reconstruction * slope).sum()
        return value + linear - linear.detach(), terms | {
            "adaptive": weight,
            "believed": believed.detach(),
        }


def _teacher(name: str, net: Tokenizer | Autoencoder) -> Autoencoder:
    """The frozen autoencoder `name`. Raises RequestError where its latents are not such as the net's."""
    teacher: Any = zoo.load(name).net
    kinds = [type(each).__name__ for each in (net, teacher)]
    if not (isinstance(net, Autoencoder) and isinstance(teacher, Autoencoder)):
        raise RequestError(
            f'like = "{name}" is for latents that are no tokens; this net is a {kinds[0]}, that one a {kinds[1]}.'
        )
    if teacher.latent != net.latent:
        raise RequestError(
            f'like = "{name}" has latents of {teacher.latent} channels, this net of {net.latent}.'
        )
    return teacher.requires_grad_(False).eval()


def objectives(net: Tokenizer | Autoencoder, table: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective (VQ-VAE) or two (VQ-GAN); `table` is the recipe's [objective], read by `Weights`."""
    weights = Weights.of(table)
    if not any(each.requires_grad for each in net.encoder.parameters()):  # frozen by [tune]
        weights = replace(weights, train="decoder")
    shared = TokenizerLoss(net, weights)
    parts: list[nn.Module] = (
        [net.post_quant_conv, net.decoder] if weights.train == "decoder" else [net]
    )
    trained = [parameter for part in parts for parameter in part.parameters()]

    def generator(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        images = batch["images"]
        reconstruction, quantized = net(images) if weights.train == "all" else net.redraw(images)
        batch["reconstruction"] = reconstruction.detach()  # for the discriminator
        playing = shared.discriminator is not None and step >= weights.adversarial_start
        if playing and torch.is_grad_enabled():
            similar, terms = shared.adversarial(net, reconstruction, images)
        else:
            similar, terms = shared.similarity(reconstruction, images)
        total = similar + weights.latent_weight * quantized.loss
        if isinstance(quantized, Drawn) and shared.teacher is not None:
            strayed = shared.strayed(images, quantized.mean)
            total = total + weights.like_weight * strayed
            terms = terms | {"strayed": strayed.detach()}
        return total, terms | {"latent": quantized.loss.detach()} | dict(quantized.metrics)

    def likelihood(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        tokenizer: Any = net  # with a decoder that gives a distribution, as asked below
        quantized = tokenizer.quantize(tokenizer.latents(batch["images"]))
        statistics = tokenizer.decoder.statistics(tokenizer.post_quant_conv(quantized.codes))
        nats = -dvae.logit_laplace(batch["images"], *statistics).mean()
        total = weights.pixel_weight * nats + weights.latent_weight * quantized.loss
        return total, {"nats": nats.detach()} | dict(quantized.metrics)

    if weights.pixel == "logit-laplace":
        if not isinstance(net.decoder, dvae.Decoder):
            raise RequestError(
                'pixel = "logit-laplace" needs a decoder that gives a distribution (kind = "dvae"); '
                f"this one is {type(net.decoder).__module__}.{type(net.decoder).__name__}."
            )
        if weights.perceptual_weight or weights.adversarial_weight or weights.train != "all":
            raise RequestError(
                'pixel = "logit-laplace" is a likelihood by itself: leave out perceptual_weight, '
                "adversarial_weight and train."
            )
        return [Objective("autoencoder", trained, likelihood)]
    found = [Objective("autoencoder", trained, generator, module=shared)]
    if shared.discriminator is not None:
        critic = shared.discriminator

        def discriminator(batch: Batch, step: int) -> tuple[Tensor, Mapping[str, Tensor | float]]:
            real_logits, fake_logits = critic(batch["images"]), critic(batch["reconstruction"])
            loss = hinge_loss(real_logits, fake_logits)
            return loss, {"real": real_logits.detach().mean(), "fake": fake_logits.detach().mean()}

        parameters = list(critic.parameters())
        found.append(
            Objective("discriminator", parameters, discriminator, start=weights.adversarial_start)
        )
    return found
