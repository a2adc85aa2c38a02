"""A diffusion model: a network that denoises, and the process it was made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Generator, Tensor, nn

from zoo.adoption import Adoption
from zoo.model import Model
from zoo.nn.diffusion import Process
from zoo.nn.unet import pieces
from zoo_diffusion.networks import network
from zoo_diffusion.noisy import NoisyClassifier

SPACES = ("pixels", "latents")


class DiffusionModel(nn.Module):
    """A denoising network with its process.

    Args:
        image: (C, H, W).
        network: net(x (B, C, H, W), t (B,), cond) -> (B, C or 2 C, H, W); `label` and `low` are in cond.
        process: what the network was made for.
        scale: how many times smaller a side of the small pictures of a super-resolution model is.
        space: "pixels" in [-1, 1], or "latents" of an autoencoder that is not here: no pictures to draw or to score.
        classifier: a noisy classifier (B, C, H, W), (B,) -> (B, classes) that can guide; no child of this module.
        base: the model whose pictures a super-resolution model makes larger; no child either.

    Raises ValueError for a network whose channels are not the picture's, a prediction that the schedule leaves
    undefined, and parts that do not fit.
    """

    roles = ("classifier", "base")  # parts that a card need not name and `zoo.compose` may add

    def __init__(
        self,
        image: Sequence[int],
        network: nn.Module,
        process: Process,
        scale: int = 4,
        space: str = "pixels",
        classifier: NoisyClassifier | None = None,
        base: Model | None = None,
    ) -> None:
        super().__init__()
        self.image, self.network, self.process = tuple(image), network, process
        if space not in SPACES:
            raise ValueError(f"unknown space {space!r}; there are {', '.join(SPACES)}")
        self.space = space
        self.classes = int(getattr(network, "classes", 0) or 0)
        self.null = bool(self.classes and getattr(network, "null", False))
        self.low = int(getattr(network, "low", 0) or 0)
        self.scale = scale
        self._parts = (classifier, base)  # in a tuple, so that their weights are not this module's
        process.fits(self.image[0], int(getattr(network, "outputs", self.image[0])))
        if classifier is not None:
            self._guided_by(classifier)
        if base is not None:
            self._begun_by(base)

    def _guided_by(self, classifier: NoisyClassifier) -> None:
        made, told = self.process, classifier.process
        if told is not None and _noise(told) != _noise(made):
            raise ValueError(
                f"the part classifier was made for pictures noised by {told}, this model's are by {made}"
            )
        if classifier.channels != self.image[0]:
            raise ValueError(
                f"the part classifier sees pictures of {classifier.channels} channels, and this model's have "
                f"{self.image[0]}"
            )
        if self.classes and classifier.classes != self.classes:
            raise ValueError(
                f"the part classifier knows {classifier.classes} labels, this model {self.classes}"
            )

    def _begun_by(self, base: Model) -> None:
        if not self.low:
            raise ValueError(
                "the part base draws small pictures, and net.low = 0: this net sees none"
            )
        if tuple(base.card.image) != self.small:
            raise ValueError(
                f"the part base draws pictures {tuple(base.card.image)} (C, H, W), and this model makes {self.small} "
                f"{self.scale} times larger"
            )

    def blocks(self) -> list[nn.Module]:
        """What is computed again for gradients, one by one, if memory is short."""
        return pieces(self.network)

    @property
    def density(self) -> tuple[str, str] | None:
        """What log_prob gives, for the card, if nothing else is asked for; None for latents."""
        return None if self.space == "latents" else self.density_given({})

    def density_given(self, request: Mapping[str, Any]) -> tuple[str, str]:
        """What log_prob gives for a request: (kind, over)."""
        ode = self.process.continuous or request.get("likelihood") == "ode"
        small = self.base.card.log_prob if self.base is not None and "low" not in request else None
        guess = ode or (small is not None and small.kind == "estimate")
        return "estimate" if guess else "lower bound", "8-bit pixels"

    def log_prob_terms(self, images: Tensor, cond: Any, generator: Generator) -> dict[str, Tensor]:
        """The bound's terms by name, (B,) nats each; see `zoo_diffusion.scoring.by_term`."""
        from zoo_diffusion import scoring

        return scoring.by_term(self, images, cond, generator)

    @property
    def diffused(self) -> tuple[int, ...]:
        """(C, H, W) of what is diffused: the picture itself."""
        return self.image

    @property
    def small(self) -> tuple[int, ...]:
        """(C, h, w) of a super-resolution model's small pictures."""
        return (self.low, self.image[1] // self.scale, self.image[2] // self.scale)

    @property
    def labels(self) -> int:
        """How many labels can be asked for: the network's, or else those that the part `classifier` knows."""
        return self.classes or (self.classifier.classes if self.classifier is not None else 0)

    @property
    def classifier(self) -> NoisyClassifier | None:
        """The noisy classifier that can guide."""
        return self._parts[0]

    @property
    def base(self) -> Model | None:
        """The model whose pictures are made larger."""
        return self._parts[1]

    def reset_buffers(self) -> None:
        """What the network computes itself and no file holds."""
        for module in self.network.modules():
            if hasattr(module, "reset_buffers"):
                cast(Any, module).reset_buffers()

    def like(self) -> Tensor:
        """A tensor of the network's device and type."""
        return next(self.network.parameters())

    def answer(self, x: Tensor, time: float, told: Mapping[str, Any]) -> Tensor:
        """The network's answer about x (B, C, H, W) when it is told `time`."""
        t = torch.full((len(x),), time, device=x.device, dtype=torch.float32)
        out: Tensor = self.network(x, t, told)
        return out


def diffusion_model(config: Mapping[str, Any], parts: Mapping[str, Model]) -> DiffusionModel:
    """The net of a configuration.

        image     [C, H, W]
        net       {kind = "unet" | "dit", ...}, see `zoo_diffusion.networks`
        process   {schedule, steps, prediction, variance, ...}, see `zoo.nn.diffusion.Process`
        classes   how many labels it knows, as `net` says too
        scale     of a super-resolution model (4)
        space     "pixels", or "latents" of an autoencoder that is not here

    Raises TypeError for an unknown or missing key, ValueError for an impossible value.
    """
    return _built(parts=parts, **config)


def _built(
    parts: Mapping[str, Model],
    image: Sequence[int],
    net: Mapping[str, Any],
    process: Mapping[str, Any],
    classes: int = 0,
    scale: int = 4,
    space: str = "pixels",
) -> DiffusionModel:
    if classes != (net.get("classes") or 0):
        raise ValueError(f"classes = {classes} and net.classes = {net.get('classes', 0)} differ")
    unknown = sorted(set(parts) - set(DiffusionModel.roles))
    if unknown:
        raise ValueError(f"a diffusion model has the parts classifier and base, not {unknown}")
    guide: nn.Module | None = None
    if (part := parts.get("classifier")) is not None:
        guide = part.net
    if guide is not None and not isinstance(guide, NoisyClassifier):
        raise ValueError(
            f"the part classifier is of the family 'classifier', {parts['classifier'].name} is of "
            f"{parts['classifier'].family!r}"
        )
    return DiffusionModel(
        image, network(net), Process(**process), scale, space, guide, parts.get("base")
    )


def _noise(process: Process) -> Process:
    """What of a process says how pictures are noised, and what a net is told of it."""
    return replace(process, prediction="x0", variance="beta")


def placed(found: Adoption) -> Adoption:
    """An adoption of a bare network as one of this family's models, of which it is a child."""
    config = dict(found.config)
    config.setdefault("image", list(found.image))
    if config["net"].get("classes"):
        config["classes"] = config["net"]["classes"]
    latents = config.get("space") == "latents"
    return replace(
        found,
        config=config,
        rename={theirs: f"network.{ours}" for theirs, ours in found.rename.items()},
        transforms={f"network.{ours}": how for ours, how in found.transforms.items()},
        latent=tuple(found.image),
        log_prob=None if latents else {"kind": _kind(config["process"]), "over": "8-bit pixels"},
        hooks=() if latents else found.hooks,
    )


def _kind(process: Mapping[str, Any]) -> str:
    return "estimate" if Process(**process).continuous else "lower bound"
