"""vector-quantize-pytorch's ResidualVQ against zoo.nn.quantizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ForeignError
from zoo.nn.quantizers import ResidualQuantizer
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

RESIDUAL_OPTIONS = CODEBOOK_OPTIONS | {
    "num_quantizers", "shared_codebook", "heads", "quantize_dropout",
    "quantize_dropout_cutoff_index", "quantize_dropout_multiple_of", "quant_grad_frac",
    "channel_last",
}  # fmt: skip


class ResidualRunner:
    """Evaluation, then one training step; the projections are around the whole stack."""

    name = "vector-quantize-pytorch ResidualVQ"

    def recognise(self, case: Case) -> bool:
        if is_class(case, "ResidualVQ"):
            return True
        return len(case.files) == 1 and "layers.0._codebook.embed" in case.checkpoint().keys

    def run(self, case: Case) -> Mapping[str, Tensor]:
        config, weights = dict(case.config or {}), case.weights()
        refuse(config, RESIDUAL_OPTIONS, self.name)
        used(
            weights,
            {f"layers.*._codebook.{name}" for name in STATE} | {"project_in.*", "project_out.*"},
        )
        sizes = config["codebook_size"]
        depth = int(config.get("num_quantizers") or len(sizes))
        width = int(config.get("codebook_dim") or config["dim"])
        into, out_of = projections(weights, width != config["dim"])
        inner = config | {"dim": width}
        layers = [book(inner, weights, f"layers.{i}._codebook") for i in range(depth)]
        share = config.get("quant_grad_frac", 0.0)
        if config.get("shared_codebook"):
            if any(not torch.equal(each.codebook, layers[0].codebook) for each in layers):
                raise ForeignError(
                    "shared_codebook, but the file's layers have different codebooks"
                )
            model = ResidualQuantizer(layers[0], depth, feedback=share)
        else:
            model = ResidualQuantizer(layers, feedback=share)
        first = not config.get("channel_last", True)

        def run(x: Tensor) -> tuple[Tensor, Any]:
            x = into(x)  # (B, N, D), or (B, D, N) where theirs has channels first inside
            found = model(x if first else x.movedim(-1, 1))
            return out_of(found.codes if first else found.codes.movedim(1, -1)), found

        model.eval()
        out: dict[str, Tensor] = {}
        out["quantized"], found = run(case.inputs["x"])
        out["indices"] = found.tokens
        shares = model.lookups(found.tokens)
        out["all_codes"] = torch.stack([each if first else each.movedim(1, -1) for each in shares])
        out["output_from_indices"] = out_of(out["all_codes"].sum(dim=0))
        model.train()
        x = case.inputs["x"].clone().requires_grad_()
        quantized, found = run(x)
        through = (quantized * case.inputs["upstream_grad"]).sum()
        losses = [found.metrics[f"loss_{i}"] for i in range(depth)]
        out |= {"train.quantized": quantized, "train.indices": found.tokens}
        out |= {"train.losses": torch.stack(losses), "train.loss": found.loss.reshape(1)}
        out |= {
            "train.grad_loss_x": gradient(found.loss, x),
            "train.grad_through_x": gradient(through, x),
        }
        for i in range(depth):
            layer = layers[0 if model.shared else i]
            out[f"after_step.embed.{i}"] = layer.codebook.detach()[None]
            out[f"after_step.cluster_size.{i}"] = layer.usage[None]
            out[f"after_step.embed_avg.{i}"] = torch.stack(
                [s for s in (layer.sums,) if s is not None]
            )
        return out


RUNNERS = [ResidualRunner()]
