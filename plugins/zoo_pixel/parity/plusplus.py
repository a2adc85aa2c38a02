"""How the reference's loss, its sampler and its net are run with ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import log
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo import weights
from zoo.bare import shapes_only
from zoo.errors import ForeignError
from zoo.foreign_models import renamed
from zoo.parity import Case
from zoo_pixel import layouts
from zoo_pixel.logistic import HALF, Mixture, mean
from zoo_pixel.net import pixel_model
from zoo_pixel.plusplus import PlusPlus, mixture


def reference_log_prob(values: Tensor, found: Mixture) -> Tensor:
    """Log p (...) of pixels (..., C) as the reference has it: a bin of less than 1e-5 gets density times width."""
    mu = torch.stack([mean(found, c, values) for c in range(values.shape[-1])], -2)
    x, inverse = values[..., None], torch.exp(-found.log_scales)
    middle = inverse * (x - mu)
    upper, lower = inverse * (x - mu + HALF), inverse * (x - mu - HALF)
    mass = upper.sigmoid() - lower.sigmoid()
    density = middle - found.log_scales - 2 * F.softplus(middle) - log(127.5)
    inside = torch.where(mass > 1e-5, mass.clamp(min=1e-12).log(), density)
    each = torch.where(x > 0.999, -F.softplus(lower), inside)
    each = torch.where(x < -0.999, upper - F.softplus(upper), each)
    return (found.weights + each.sum(-2)).logsumexp(-1)


def reference_sample(found: Mixture, u_mixture: Tensor, u_logistic: Tensor) -> Tensor:
    """Pixels (B, C, h, w) from uniform numbers (B, h, w, M) and (B, h, w, C), clipped to [-1, 1]."""
    chosen = (found.weights - (-u_mixture.log()).log()).argmax(-1)  # (B, h, w)
    noise = u_logistic.log() - (1 - u_logistic).log()
    values = torch.zeros_like(u_logistic)
    for channel in range(values.shape[-1]):
        mu = mean(found, channel, values).gather(-1, chosen[..., None]).squeeze(-1)
        scale = found.log_scales[..., channel, :].gather(-1, chosen[..., None]).squeeze(-1).exp()
        values[..., channel] = (mu + scale * noise[..., channel]).clamp(-1, 1)
    return values.movedim(-1, 1)


class MixtureRunner:
    """The loss and the sampler on given parameters, for colour and for grey pictures."""

    name = "pixel-cnn-pp mixture of logistics"

    def recognise(self, case: Case) -> bool:
        return not case.files and any(
            name.startswith("params") and name.replace("params", "x", 1) in case.inputs
            for name in case.inputs
        )

    def run(self, case: Case) -> Mapping[str, Tensor]:
        out: dict[str, Tensor] = {}
        for name, numbers in case.inputs.items():
            if not name.startswith("params"):
                continue
            kind = name.removeprefix("params")
            x = case.inputs[f"x{kind}"]
            found = mixture(numbers, x.shape[1])
            pixels = -reference_log_prob(x.movedim(1, -1), found)  # (B, h, w)
            out |= {f"per_pixel{kind}": pixels, f"per_image{kind}": pixels.sum((1, 2))}
            out[f"loss{kind}"] = pixels.sum().view(1)
            out[f"bits_per_dim{kind}"] = pixels.sum((1, 2)) / (x[0].numel() * log(2))
            if f"u_mixture{kind}" in case.inputs:
                uniform = case.inputs[f"u_mixture{kind}"], case.inputs[f"u_logistic{kind}"]
                out[f"sample{kind}"] = reference_sample(found, *uniform)
        return out


class NetRunner:
    """The whole net: its numbers for a picture, and which of them a pixel moves."""

    name = "pixel-cnn-pp"

    def recognise(self, case: Case) -> bool:
        if len(case.files) != 1 or "x" not in case.inputs:
            return False
        foreign = case.checkpoint()
        return layouts.adopt(foreign.keys, None) is not None

    def run(self, case: Case) -> Mapping[str, Tensor]:
        foreign = case.checkpoint()
        adoption = layouts.adopt(foreign.keys, foreign.config)
        if adoption is None:
            raise ForeignError(f"{foreign.path} is no PixelCNN++")
        with shapes_only():
            net = pixel_model(adoption.config)
        where = str(foreign.path)
        weights.assign(net, renamed(foreign, adoption, where), where)
        logits, x = cast(PlusPlus, net.core).logits, case.inputs["x"]
        with torch.no_grad():
            params = logits(x)
            out = {"params": params}
            if "changed" in case.outputs:
                place = re.search(r"pixel \((\d+), *(\d+)\)", str(case.meta.get("call", "")))
                if place is None:
                    raise ForeignError(
                        f"{case.folder}: meta.json's call names no pixel (row, column)"
                    )
                moved = x.double()
                moved[:, :, int(place[1]), int(place[2])] += 0.5
                logits.double()
                differ = (logits(moved) - logits(x.double())).abs()
                out["changed"] = (differ > 1e-12).any(1).any(0)
        return out
