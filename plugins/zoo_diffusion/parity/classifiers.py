"""Noisy classifiers: logits, and the gradient that guides."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.bare import shapes_only
from zoo.parity import Case, Runner
from zoo_diffusion.layouts import _classifier
from zoo_diffusion.noisy import NoisyClassifier
from zoo_diffusion.parity.adopted import laid


class ClassifierRunner:
    """logits = net(x, t); the gradient of sum_i log p(y_i | x_i) by x."""

    name = "guided-classifier"

    def recognise(self, case: Case) -> bool:
        """By its files."""
        if len(case.files) != 1 or "x" not in case.inputs:
            return False
        foreign = case.checkpoint()
        return _classifier.adopt(foreign.keys, foreign.config) is not None

    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        foreign = case.checkpoint()
        adoption = _classifier.adopt(foreign.keys, foreign.config)
        if adoption is None:
            raise ValueError(f"{case.folder} holds no classifier")
        with shapes_only():
            net = NoisyClassifier(**adoption.config["net"])
        laid(case, adoption, net)
        x = case.inputs["x"].clone().requires_grad_()
        logits = net(x, case.inputs["timesteps"])
        out = {"logits": logits.detach()}
        if "y" in case.inputs:
            chosen = F.log_softmax(logits, dim=1).gather(1, case.inputs["y"].view(-1, 1))
            (out["guidance_gradient"],) = torch.autograd.grad(chosen.sum(), x)
        return out


RUNNERS: list[Runner] = [ClassifierRunner()]
