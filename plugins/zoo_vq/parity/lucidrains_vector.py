"""vector-quantize-pytorch's VectorQuantize against zoo.nn.quantizers.

Heads, projections, axes and two regularisers of theirs are composed here around VectorQuantizer.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn.quantizers import VectorQuantizer
from zoo.nn.quantizers.entropy import orthogonality
from zoo.parity import Case
from zoo_vq.parity.lucidrains import (
    CODEBOOK_OPTIONS,
    STATE,
    book,
    gradient,
    is_class,
    projections,
    refuse,
    used,
)

VECTOR_OPTIONS = CODEBOOK_OPTIONS | {
    "heads", "separate_codebook_per_head", "layernorm_after_project_in", "channel_last",
    "accept_image_fmap", "accept_3d_fmap", "commitment_use_cross_entropy_loss",
    "orthogonal_reg_weight", "orthogonal_reg_active_codes_only", "orthogonal_reg_max_codes",
    "codebook_diversity_loss_weight", "sync_update_v", "route_gradients_to_input",
}  # fmt: skip


class Step(NamedTuple):
    """What one forward pass gave."""

    quantized: Tensor
    indices: Tensor
    loss: Tensor
    commitment: Tensor
    codebooks: list[Tensor]  # what gradients by the codebook are taken of


class Vector(nn.Module):
    """VectorQuantize of a configuration, made of ours."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.config, self.heads = config, int(config.get("heads", 1))
        width = int(config.get("codebook_dim") or config["dim"])
        self.project_in, self.project_out = projections(
            weights, width * self.heads != config["dim"]
        )
        self.separate = bool(config.get("separate_codebook_per_head")) and self.heads > 1
        count = weights["_codebook.embed"].shape[0]
        self.books = [book(config, weights, "_codebook", i) for i in range(count)]
        self.kept = nn.ModuleList(self.books)  # so that train, eval and copies reach them
        self.image = bool(config.get("accept_image_fmap") or config.get("accept_3d_fmap"))
        self.first = self.image or not config.get("channel_last", True)

    def heads_of(self, x: Tensor) -> Tensor:
        """Input -> (heads, B, *space, width), projected."""
        x = x.movedim(1, -1) if self.first else x
        inner: Tensor = self.project_in(x)
        return inner.view(*inner.shape[:-1], self.heads, -1).movedim(-2, 0)

    def parts(self, heads: Tensor) -> list[Tensor]:
        """What each codebook is given: all heads at once (heads B, ...), or one head."""
        return list(heads.unbind(0)) if self.separate else [heads.flatten(0, 1)]

    def merge(self, parts: list[Tensor], like: Tensor) -> Tensor:
        return (
            torch.stack(parts)
            if self.separate
            else parts[0].view(*like.shape[:2], *parts[0].shape[1:])
        )

    def indices(self, tokens: Tensor) -> Tensor:
        """(heads, B, *space) -> (B, *space[, heads])."""
        return tokens[0] if self.heads == 1 else tokens.movedim(0, -1)

    def codes(self, indices: Tensor, project: bool) -> Tensor:
        """get_codes_from_indices, or with `project` get_output_from_indices."""
        tokens = indices[None] if self.heads == 1 else indices.movedim(-1, 0)
        if not self.separate and self.heads > 1:  # theirs looks each head up and keeps the axis
            codes = self.books[0].lookup(indices).movedim(1, -1)
        else:
            found = [b.lookup(t).movedim(1, -1) for b, t in zip(self.books, tokens, strict=True)]
            codes = torch.cat(found, dim=-1)
        codes = codes.movedim(-1, 1) if self.first else codes
        # theirs projects the last axis even after it has moved the channels away from there
        out: Tensor = self.project_out(codes) if project else codes
        return out

    def forward(self, x: Tensor) -> Step:
        heads = self.heads_of(x)
        parts = self.parts(heads)
        before = [b.codebook if b.learn == "gradient" else b.codebook.clone() for b in self.books]
        found = [b(part.movedim(-1, 1)) for b, part in zip(self.books, parts, strict=True)]
        codes = self.merge([each.codes.movedim(1, -1) for each in found], heads)
        tokens = self.merge([each.tokens for each in found], heads)
        v = self.config.get("sync_update_v", 0.0)
        if self.training and not self.config.get("route_gradients_to_input", True):
            codes = codes.detach()
        if self.training and v:
            codes = codes + v * (codes - codes.detach())
        commitment = sum(each.metrics["commitment"] for each in found) / len(found)
        loss = sum(each.loss for each in found) / len(found)
        if self.training:
            loss, commitment, before = self.regularised(loss, commitment, parts, found, before)
        else:
            loss = commitment = x.new_zeros(())
        out = self.project_out(codes.movedim(0, -2).flatten(-2))
        out = out.movedim(-1, 1) if self.first else out
        return Step(out, self.indices(tokens), loss, commitment, before)

    def regularised(
        self,
        loss: Tensor,
        commitment: Tensor,
        parts: list[Tensor],
        found: list[Any],
        books: list[Tensor],
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The loss with their further terms; and the codebooks that those depend on."""
        config = self.config
        diverse = config.get("codebook_diversity_loss_weight", 0.0)
        apart = config.get("orthogonal_reg_weight", 0.0)
        cross = bool(config.get("commitment_use_cross_entropy_loss"))
        weight = config.get("commitment_weight", 1.0)
        if not weight:
            commitment = torch.zeros_like(commitment)
        if apart and self.books[0].learn != "gradient":
            books = [each.detach().clone().requires_grad_() for each in books]
        if diverse or (cross and weight):
            each = zip(parts, books, self.books, strict=True)
            scores = torch.stack(
                [similarity(z, e, b) for z, e, b in each]
            )  # (codebooks, B, *space, K)
            if cross and weight:
                tokens = torch.stack([each.tokens for each in found])
                commitment = F.cross_entropy(scores.flatten(0, -2), tokens.flatten())
                loss = weight * commitment
            if diverse:
                sharp = config.get("codebook_diversity_temperature", 100.0)
                p = (scores * sharp).softmax(dim=-1).mean(dim=(0, 1))  # (*space, K)
                entropy = -(p * p.clamp_min(1e-5).log()).sum(dim=-1).mean()
                loss = loss - diverse * entropy
        if apart:
            kept = books
            if self.books[0].learn == "ema":  # by then its running average has moved the codebook
                kept = [
                    e + (b.codebook - e).detach() for e, b in zip(books, self.books, strict=True)
                ]
            if config.get("orthogonal_reg_active_codes_only"):
                active = torch.unique(torch.stack([each.tokens for each in found]))
                kept = [each[active] for each in kept]
            loss = loss + apart * orthogonality(torch.stack(kept))
        return loss, commitment.detach(), books


def similarity(z: Tensor, codebook: Tensor, quantizer: VectorQuantizer) -> Tensor:
    """Cosine, or minus the distance, of z (..., D) to every code (K, D): (..., K).

    Where running averages have moved the codebook by now, the gradient by z is of the moved one,
    the value of the one before: theirs overwrites the tensor that its backward pass goes on to
    read.
    """
    z = F.normalize(z, dim=-1) if quantizer.cosine else z
    products = z @ codebook.T
    if quantizer.learn == "ema":
        moved = z @ quantizer.codebook.detach().T
        products = moved + (products - moved).detach()
    if quantizer.cosine:
        return products
    squares = z.square().sum(-1, keepdim=True) + codebook.square().sum(-1) - 2 * products
    return -squares.clamp_min(1e-8).sqrt()


class VectorRunner:
    """Evaluation, then two training steps with gradients and the codebook after each."""

    name = "vector-quantize-pytorch VectorQuantize"

    def recognise(self, case: Case) -> bool:
        if is_class(case, "VectorQuantize"):
            return True
        return len(case.files) == 1 and "_codebook.embed" in case.checkpoint().keys

    def run(self, case: Case) -> Mapping[str, Tensor]:
        config, weights = dict(case.config or {}), case.weights()
        refuse(config, VECTOR_OPTIONS, self.name)
        used(weights, {f"_codebook.{name}" for name in STATE} | {"project_in.*", "project_out.*"})
        model = Vector(config, weights).eval()
        step = model(case.inputs["x"])
        out = {"quantized": step.quantized, "indices": step.indices}
        for name, project in (("codes_from_indices", False), ("output_from_indices", True)):
            if name in case.outputs:
                out[name] = model.codes(step.indices, project)
        model = copy.deepcopy(model).train()
        for number in ("", "2"):
            x = case.inputs["x"].clone().requires_grad_()
            step = model(x)
            out |= {f"train{number}.{key}": value for key, value in told(step, x, case).items()}
            for theirs, ours in (
                ("embed", "codebook"),
                ("cluster_size", "usage"),
                ("embed_avg", "sums"),
            ):
                now = torch.stack([getattr(b, ours).detach().clone() for b in model.books])
                out[f"after_step{number}.{theirs}"] = now
        return out


def told(step: Step, x: Tensor, case: Case) -> dict[str, Tensor]:
    """A training step's numbers and gradients by the names of the recorded ones."""
    through = (step.quantized * case.inputs["upstream_grad"]).sum()
    found = {"quantized": step.quantized, "indices": step.indices}
    found |= {"loss": step.loss.reshape(1), "commitment": step.commitment.reshape(1)}
    found |= {"grad_loss_x": gradient(step.loss, x), "grad_through_x": gradient(through, x)}
    if all(each.requires_grad for each in step.codebooks):
        by = [gradient(step.loss, each) for each in step.codebooks]
        found["grad_loss_codebook"] = torch.stack(by)
    return found


RUNNERS = [VectorRunner()]
