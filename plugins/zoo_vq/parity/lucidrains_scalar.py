"""vector-quantize-pytorch's FSQ and LFQ: its projections and several codebooks around ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import ForeignError
from zoo.nn.quantizers import FiniteScalarQuantizer, LookupFreeQuantizer
from zoo.parity import Case
from zoo_vq.parity.lucidrains import gradient, is_class, projections, refuse, used

FSQ_OPTIONS = {
    "levels", "dim", "num_codebooks", "keep_num_codebooks_dim", "channel_first",
    "projection_has_bias", "return_indices", "preserve_symmetry", "bound_hard_clamp",
    "orthogonal_rotation",
    # no effect on what is compared: types, and noise that is drawn in training
    "scale", "allowed_dtypes", "force_quantization_f32", "noise_dropout",
}  # fmt: skip
LFQ_OPTIONS = {
    "dim", "codebook_size", "entropy_loss_weight", "commitment_loss_weight", "diversity_gamma",
    "num_codebooks", "keep_num_codebooks_dim", "codebook_scale", "has_projections",
    "projection_has_bias", "soft_clamp_input_value", "cosine_sim_project_in",
    "cosine_sim_project_in_scale", "channel_first", "experimental_softplus_entropy_loss",
    "entropy_loss_offset", "spherical", "orthogonal_rotation", "force_quantization_f32",
    "frac_per_sample_entropy",
}  # fmt: skip


class Around:
    """What both classes do around the quantiser: axes, projections, rotation, several codebooks."""

    def __init__(self, config: Mapping[str, Any], weights: dict[str, Tensor], bits: int) -> None:
        self.books = int(config.get("num_codebooks", 1))
        inner = bits * self.books
        self.dim = int(config.get("dim") or inner)
        wanted = config.get("has_projections")
        self.project = projections(weights, self.dim != inner if wanted is None else wanted)
        if config.get("cosine_sim_project_in") and "project_in.weight" in weights:
            scale = config.get("cosine_sim_project_in_scale") or config.get("codebook_scale", 1.0)
            self.project = (CosineLinear(weights["project_in.weight"], scale), self.project[1])
        self.rotation = weights.get("orthogonal_rot") if config.get("orthogonal_rotation") else None
        keep = config.get("keep_num_codebooks_dim")
        self.keep = self.books > 1 if keep is None else bool(keep)
        self.channel_first = config.get("channel_first")

    def first(self, ndim: int) -> bool:
        """Whether a tensor of so many axes has its channels second."""
        image = ndim >= 4
        return image if self.channel_first is None else bool(self.channel_first) or image

    def split(self, x: Tensor) -> Tensor:
        """Input -> (B, *space, books, bits), projected."""
        x = x.movedim(1, -1) if self.first(x.ndim) else x
        x = self.project[0](x)
        return torch.unflatten(x, -1, (self.books, -1))

    def rotate(self, x: Tensor, back: bool = False) -> Tensor:
        if self.rotation is None:
            return x
        return x @ (self.rotation.T if back else self.rotation)

    def join(self, codes: Tensor, like: int) -> Tensor:
        """(B, *space, books, bits) -> output with `like` axes."""
        out: Tensor = self.project[1](self.rotate(codes, back=True).flatten(-2))
        return out.movedim(-1, 1) if self.first(like) else out

    def indices(self, tokens: Tensor) -> Tensor:
        return tokens if self.keep else tokens.squeeze(-1)

    def codes(self, indices: Tensor, lookup: Any) -> Tensor:
        tokens = indices if self.keep else indices[..., None]
        codes = lookup(tokens.long()).movedim(1, -1)  # (B, *space, books, bits)
        return self.join(codes, tokens.ndim)


class CosineLinear(nn.Module):
    """scale * cosine of each input with each column of weight (inputs, outputs)."""

    def __init__(self, weight: Tensor, scale: float) -> None:
        super().__init__()
        self.weight, self.scale = weight, scale

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1) @ F.normalize(self.weight, dim=0) * self.scale


class FSQRunner:
    """Sequences (B, N, D) and images (B, D, H, W)."""

    name = "vector-quantize-pytorch FSQ"

    def recognise(self, case: Case) -> bool:
        levels = (case.config or {}).get("levels")
        return is_class(case, "FSQ") or (isinstance(levels, list) and "z" in case.inputs)

    def run(self, case: Case) -> Mapping[str, Tensor]:
        config = dict(case.config or {})
        refuse(config, FSQ_OPTIONS, self.name)
        weights = case.weights() if case.files else {}
        levels = config["levels"]
        around = Around(config, weights, len(levels))
        used(weights, {"project_in.*", "project_out.*", "orthogonal_rot"})
        quantizer = FiniteScalarQuantizer(
            levels,
            symmetric=bool(config.get("preserve_symmetry")),
            hard=bool(config.get("bound_hard_clamp")),
        )

        def forward(x: Tensor) -> tuple[Tensor, Tensor]:
            found = quantizer(around.rotate(around.split(x)).movedim(-1, 1))
            return around.join(found.codes.movedim(1, -1), x.ndim), around.indices(found.tokens)

        z = case.inputs["z"].clone().requires_grad_()
        quantized, indices = forward(z)
        out = {"quantized": quantized, "indices": indices}
        out["decoded"] = around.codes(indices, quantizer.lookup)
        out["bounded"] = quantizer.quantize(around.split(case.inputs["z"]))
        out["implicit_codebook"] = quantizer.lookup(torch.arange(quantizer.codes))
        upstream = case.inputs["upstream_grad"]
        (out["straight_through_grad"],) = torch.autograd.grad((quantized * upstream).sum(), z)
        if "image" in case.inputs:
            out["image_quantized"], out["image_indices"] = forward(case.inputs["image"])
            out["image_decoded"] = around.codes(out["image_indices"], quantizer.lookup)
        return out


class LFQRunner:
    """Evaluation, and the training loss at several temperatures with its gradients."""

    name = "vector-quantize-pytorch LFQ"

    def recognise(self, case: Case) -> bool:
        keys = set(case.config or {})
        return is_class(case, "LFQ") or bool(keys & {"diversity_gamma", "entropy_loss_weight"})

    def run(self, case: Case) -> Mapping[str, Tensor]:
        config = dict(case.config or {})
        refuse(config, LFQ_OPTIONS, self.name)
        weights = case.weights() if case.files else {}
        books = int(config.get("num_codebooks", 1))
        size = config.get("codebook_size") or 2 ** config["dim"]
        bits = int(size).bit_length() - 1
        around = Around(config, weights, bits)
        used(weights, {"project_in.*", "project_out.*", "orthogonal_rot", "mask"})
        mask = 2 ** torch.arange(bits - 1, -1, -1)
        if "mask" in weights and not torch.equal(weights["mask"].long(), mask):
            raise ForeignError(
                f"LFQ's stored mask {weights['mask'].tolist()} is not {mask.tolist()}"
            )
        clamp = config.get("soft_clamp_input_value")
        quantizer = LookupFreeQuantizer(
            bits,
            first="most",
            scale=config.get("codebook_scale", 1.0),
            spherical=bool(config.get("spherical")),
            entropy=config.get("entropy_loss_weight", 0.1),
            gamma=config.get("diversity_gamma", 1.0),
            commitment=config.get("commitment_loss_weight", 0.0),
            floor="clamp",
            clamp=clamp if around.rotation is None else None,
        )
        softplus = config.get("experimental_softplus_entropy_loss")
        if softplus:
            quantizer.entropy = 1.0

        def forward(x: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
            inner = around.split(x)
            if clamp is not None and around.rotation is not None:
                inner = torch.tanh(inner / clamp) * clamp  # it clamps before it rotates
            inner = around.rotate(inner)
            found = [quantizer(book.movedim(-1, 1)) for book in inner.unbind(-2)]
            codes = torch.stack([each.codes.movedim(1, -1) for each in found], dim=-2)
            tokens = torch.stack([each.tokens for each in found], dim=-1)
            numbers = {"aux_loss": sum(each.loss for each in found) / books}
            names = {"sample_entropy": "per_sample_entropy", "batch_entropy": "batch_entropy"}
            for ours, theirs in (names | {"commitment": "commitment"}).items():
                if all(ours in each.metrics for each in found):
                    numbers[theirs] = sum(each.metrics[ours] for each in found) / books
            if softplus and quantizer.training:
                commit = config.get("commitment_loss_weight", 0.0) * F.mse_loss(
                    inner, codes.detach()
                )
                entropy = numbers["aux_loss"] - commit
                shifted = F.softplus(entropy + config.get("entropy_loss_offset", 5.0))
                weight = config.get("entropy_loss_weight", 0.1)
                numbers["aux_loss"] = weight * shifted + commit
            return around.join(codes, x.ndim), around.indices(tokens), numbers

        quantizer.eval()
        out: dict[str, Tensor] = {}
        for given, prefix in (("x", ""), ("seq", "seq_")):
            if given in case.inputs:
                out[f"{prefix}quantized"], out[f"{prefix}indices"], _ = forward(case.inputs[given])
                decoded = around.codes(out[f"{prefix}indices"], quantizer.lookup)
                out[f"{prefix}codes_from_indices"] = decoded
        quantizer.train()
        for name in sorted(
            {key.partition(".")[0] for key in case.outputs if key.startswith("train")}
        ):
            inverse = re.search(r"\d+(\.\d+)?", name)
            quantizer.temperature = 1 / float(inverse.group() if inverse else 100)
            x = case.inputs["x"].clone().requires_grad_()
            quantized, indices, numbers = forward(x)
            upstream = case.inputs["upstream_grad"]
            found = {"quantized": quantized, "indices": indices}
            if not config.get("commitment_loss_weight"):
                numbers["commitment"] = torch.zeros(())  # left out when it weighs nothing
            found |= {key: value.reshape(1) for key, value in numbers.items()}
            loss = numbers["aux_loss"]
            found["grad_aux_x"] = gradient(loss, x)
            found["grad_through_x"] = gradient((quantized * upstream).sum(), x)
            out |= {f"{name}.{key}": value for key, value in found.items()}
        return out


RUNNERS = [FSQRunner(), LFQRunner()]
