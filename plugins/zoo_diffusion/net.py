"""A diffusion model: a network that denoises, and the process it was made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo.adoption import Adoption
from zoo.model import Model
from zoo.nn.diffusion import Process
from zoo_diffusion.networks import network


class DiffusionModel(nn.Module):
    """A denoising network with its process.

    Args:
        image: (C, H, W).
        network: net(x (B, C, H, W), t (B,), cond) -> (B, C or 2 C, H, W); `label` and `low` are in cond.
        process: what the network was made for.
        scale: how many times smaller a side of the small pictures of a super-resolution model is.
        classifier: a noisy classifier (B, C, H, W), (B,) -> (B, classes) that can guide; no child of this module.
        base: the model whose pictures a super-resolution model makes larger; no child either.

    Raises ValueError for a network whose channels are not the picture's.
    """

    density = ("lower bound", "8-bit pixels")  # for the card

    def __init__(
        self,
        image: Sequence[int],
        network: nn.Module,
        process: Process,
        scale: int = 4,
        classifier: nn.Module | None = None,
        base: Model | None = None,
    ) -> None:
        super().__init__()
        self.image, self.network, self.process = tuple(image), network, process
        self.classes = int(getattr(network, "classes", 0) or 0)
        self.null = bool(self.classes and getattr(network, "null", False))
        self.low = int(getattr(network, "low", 0) or 0)
        self.scale = scale
        self._parts = (classifier, base)  # in a tuple, so that their weights are not this module's
        channels, outputs = self.image[0], int(getattr(network, "outputs", self.image[0]))
        learned = process.variance.startswith("learned")
        if outputs not in (channels, 2 * channels) or (learned and outputs == channels):
            raise ValueError(
                f"pictures of {channels} channels and variance {process.variance!r} need a net that gives "
                f"{2 * channels if learned else channels}, not {outputs}"
            )

    @property
    def classifier(self) -> nn.Module | None:
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

    def answer(self, x: Tensor, time: float, cond: Mapping[str, Tensor]) -> Tensor:
        """The network's answer about x (B, C, H, W) when it is told `time`."""
        t = torch.full((len(x),), time, device=x.device, dtype=torch.float32)
        out: Tensor = self.network(x, t, cond)
        return out


def diffusion_model(config: Mapping[str, Any], parts: Mapping[str, Model]) -> DiffusionModel:
    """The net of a configuration.

        image     [C, H, W]
        net       {kind = "unet" | "dit", ...}, see `zoo_diffusion.networks`
        process   {schedule, steps, prediction, variance, ...}, see `zoo.nn.diffusion.Process`
        classes   how many labels it knows, as `net` says too
        scale     of a super-resolution model (4)

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
) -> DiffusionModel:
    if classes != (net.get("classes") or 0):
        raise ValueError(f"classes = {classes} and net.classes = {net.get('classes', 0)} differ")
    unknown = sorted(set(parts) - {"classifier", "base"})
    if unknown:
        raise ValueError(f"a diffusion model has the parts classifier and base, not {unknown}")
    made, guide = Process(**process), parts.get("classifier")
    told = None if guide is None else getattr(guide.net, "process", None)
    if told is not None and replace(told, prediction="x0", variance="beta") != replace(
        made, prediction="x0", variance="beta"
    ):
        raise ValueError(
            f"the part classifier was made for pictures noised by {told}, this model's are by {made}"
        )
    return DiffusionModel(
        image, network(net), made, scale, None if guide is None else guide.net, parts.get("base")
    )


def placed(found: Adoption) -> Adoption:
    """An adoption of a bare network as one of this family's models, of which it is a child."""
    config = dict(found.config)
    config.setdefault("image", list(found.image))
    if config["net"].get("classes"):
        config["classes"] = config["net"]["classes"]
    return replace(
        found,
        config=config,
        rename={theirs: f"network.{ours}" for theirs, ours in found.rename.items()},
        transforms={f"network.{ours}": how for ours, how in found.transforms.items()},
        latent=tuple(found.image),
        log_prob={"kind": "lower bound", "over": "8-bit pixels"},
    )
