"""Parts of tokenizers: quantizer, discriminator, losses, and a checkpoint that is only read."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.nn.discriminator import (
    PatchDiscriminator,
    adaptive_weight,
    generator_loss,
    hinge_loss,
    logistic_loss,
)
from zoo.nn.lpips import SCALE, SHIFT
from zoo.nn.quantizers import VectorQuantizer
from zoo.parity import Case, Runner
from zoo_vq.parity.tokenizers import discriminator
from zoo_vq.remap import Remap


class VectorQuantizerRunner:
    """taming's VectorQuantizer2: a codebook, latents, both forms of the loss, renumbering."""

    name = "taming-vector-quantizer"

    def recognise(self, case: Case) -> bool:
        """By its files."""
        config = case.config or {}
        return "n_e" in config and "e_dim" in config and "z" in case.inputs and len(case.files) == 1

    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        config = case.config or {}
        weights = case.weights()
        codebook, beta = weights["embedding.weight"], float(config.get("beta", 0.25))
        out: dict[str, Tensor] = {}
        for form, commitment, weight in (("legacy", 1.0, beta), ("paper", beta, 1.0)):
            z = case.inputs["z"].clone().requires_grad_()
            book = VectorQuantizer(
                *codebook.shape,
                learn="gradient",
                commitment=commitment,
                codebook_weight=weight,
            ).eval()
            book.codebook.data.copy_(codebook)
            found = book(z)
            grads = torch.autograd.grad(found.loss, [z, book.codebook])
            out[f"loss_{form}"] = found.loss.view(1)
            out[f"grad_z_{form}"], out[f"grad_codebook_{form}"] = grads
        legacy = bool(config.get("legacy", True))
        out["loss"], out["grad_z"], out["grad_codebook"] = (
            out[f"{name}_{'legacy' if legacy else 'paper'}"]
            for name in ("loss", "grad_z", "grad_codebook")
        )
        if "upstream_grad" in case.inputs:
            found = book(z)
            loss = (found.codes * case.inputs["upstream_grad"]).sum()
            (out["straight_through_grad"],) = torch.autograd.grad(loss, z)
        out["z_q"], tokens = found.codes, found.tokens
        out["indices"] = out["indices_bhw"] = tokens
        out["indices_flat"] = tokens.flatten()
        out["codebook_entry"] = book.lookup(tokens)
        used = config.get("used", weights.get("used"))
        return out if used is None else out | _remapped(case, torch.as_tensor(used), tokens)


def _remapped(case: Case, used: Tensor, tokens: Tensor) -> dict[str, Tensor]:
    """remapped_HOW and unmapped_HOW, (B, h w), for each HOW recorded: "extra" or a number."""
    out = {}
    for name in case.outputs:
        kind, _, how = name.partition("_")
        if kind != "remapped":
            continue
        if how.isdigit():
            unknown: str | int = int(how)
        else:
            unknown = how if how == "extra" else (case.config or {}).get("unknown_index", how)
        remap = Remap(len(used), unknown)
        remap.used.copy_(used)
        narrow = remap.narrow(tokens)
        out[name] = narrow.flatten(1)
        out[f"unmapped_{how}"] = remap.widen(narrow).flatten(1)
    return out


class DiscriminatorRunner:
    """taming's NLayerDiscriminator: evaluation, training statistics, ActNorm's start from data."""

    name = "taming-nlayer-discriminator"

    def recognise(self, case: Case) -> bool:
        """By its files."""
        if len(case.files) != 1 or "x" not in case.inputs:
            return False
        keys = case.checkpoint().keys
        return "main.0.weight" in keys and all(key.startswith("main.") for key in keys)

    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        x, out = case.inputs["x"], {}
        out["logits_eval"] = self._fresh(case).eval()(x)
        net = self._fresh(case).train()
        out["logits_train"] = net(x)
        out |= {f"after_train.{k}": v for k, v in net.state_dict().items()}
        net = self._fresh(case).train()
        for name, buffer in net.named_buffers():
            if name.endswith("initialized"):
                buffer.zero_()
        out["logits_actnorm_init"] = net(x)
        out |= {f"after_init.{k}": v for k, v in net.state_dict().items()}
        for name in set(case.outputs) - set(out):
            for key, value in net.state_dict().items():
                if name.endswith(f".{key}"):
                    out[name] = value
        return {k: v.detach() for k, v in out.items()}

    def _fresh(self, case: Case) -> PatchDiscriminator:
        config = case.config or {}
        net = discriminator(case.weights())
        said = [config.get(k) for k in ("input_nc", "ndf", "n_layers", "use_actnorm")]
        read = [net.channels, net.width, net.layers, net.actnorm]
        if any(a is not None and a != b for a, b in zip(said, read, strict=True)):
            raise ValueError(f"the configuration says {said}, the tensors {read}")
        return net


class LossesRunner:
    """taming.modules.losses: adversarial losses, the LPIPS head, the adaptive weight."""

    name = "taming-losses"

    def recognise(self, case: Case) -> bool:
        """By its files."""
        return {"logits_real", "logits_fake"} <= set(case.inputs) and not case.files

    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        given, config = case.inputs, case.config or {}
        real, fake = given["logits_real"], given["logits_fake"]
        out = {
            "hinge_d_loss": hinge_loss(real, fake).view(1),
            "vanilla_d_loss": logistic_loss(real, fake).view(1),
            "g_loss": generator_loss(fake).view(1),
            "adopt_weight_before_start": torch.zeros(1),
            "adopt_weight_at_start": torch.full(
                (1,), float(config.get("disc_factor", 1.0)), dtype=torch.float64
            ),
        }
        if "image" in given:
            shift, scale = (torch.tensor(v).view(1, -1, 1, 1) for v in (SHIFT, SCALE))
            out["lpips_scaled_image"] = (given["image"] - shift) / scale
        levels = sorted(int(k[4:]) for k in given if k.startswith("lin."))
        lpips = torch.zeros(())
        for i in levels:
            a, b = (_unit(given[f"{side}.{i}"]) for side in ("feat0", "feat1"))
            term = F.conv2d((a - b).square(), given[f"lin.{i}"]).mean((2, 3), keepdim=True)
            out[f"lpips_term.{i}"] = term
            lpips = lpips + term
        if levels:
            out["lpips"] = lpips
        if "rec_x" in given:
            pixels = (given["rec_x"] - given["rec_y"]).abs()
            weight = float(config.get("perceptual_weight", 1.0))
            out["nll_loss"] = (pixels + weight * lpips).mean().view(1)
        if "last_layer" in given:
            last = given["last_layer"].clone().requires_grad_()
            nll = (last * given["nll_dir"]).square().sum()
            adversarial = 0.1 * (last * given["g_dir"]).sum()
            weight = float(config.get("disc_weight", 1.0))
            out["adaptive_weight"] = adaptive_weight(nll, adversarial, last, weight).view(1)
        return out


def _unit(features: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (length + 1e-10)


class CheckpointRunner:
    """A checkpoint whose tensors are the outputs: only reading it, without running it, is asked."""

    name = "checkpoint"

    def recognise(self, case: Case) -> bool:
        """By its files."""
        return len(case.files) == 1 and set(case.outputs) <= set(case.checkpoint().keys)

    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        return case.checkpoint().tensors()


RUNNERS: list[Runner] = [
    VectorQuantizerRunner(),
    DiscriminatorRunner(),
    LossesRunner(),
    CheckpointRunner(),
]
