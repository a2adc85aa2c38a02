"""What the runners of vector-quantize-pytorch's classes share: options and projections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import ForeignError
from zoo.nn.quantizers import VectorQuantizer
from zoo.parity import Case

CODEBOOK_OPTIONS = {
    "dim", "codebook_size", "codebook_dim", "decay", "eps", "freeze_codebook", "use_cosine_sim",
    "commitment_weight", "learnable_codebook", "ema_update", "rotation_trick", "straight_through",
    # of training only, where they draw random numbers: what is compared is without them
    "threshold_ema_dead_code", "reset_cluster_size", "kmeans_init", "kmeans_iters", "sync_kmeans",
    "stochastic_sample_codes", "sample_codebook_temp", "sync_codebook",
    "codebook_diversity_temperature", "return_zeros_for_masked_padding",
}  # fmt: skip
STATE = ("initted", "cluster_size", "embed_avg", "embed")


def is_class(case: Case, name: str) -> bool:
    """Whether meta.json names this class of the package as the source."""
    source = case.meta.get("source", {})
    return bool(source.get("package") == "vector-quantize-pytorch" and source.get("class") == name)


def refuse(config: Mapping[str, Any], known: Collection[str], name: str) -> None:
    """Raise ForeignError for an option that is switched on and that ours does not have."""
    for key, value in config.items():
        if key not in known and value not in (None, False, 0, 0.0):
            raise ForeignError(
                f"{name}: option {key}={value!r} is not supported; "
                f"known: {', '.join(sorted(known))}"
            )


def used(weights: Mapping[str, Tensor], patterns: Collection[str]) -> None:
    """Raise ForeignError if the file has a key that nothing of ours takes."""
    left = [key for key in weights if not any(fnmatch(key, pattern) for pattern in patterns)]
    if left:
        raise ForeignError(f"keys that no part of ours takes: {left}")


def linear(weights: Mapping[str, Tensor], prefix: str) -> nn.Linear:
    """An nn.Linear from PREFIX.weight and, if there, PREFIX.bias."""
    weight, bias = weights[f"{prefix}.weight"], weights.get(f"{prefix}.bias")
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    made.load_state_dict(state)
    return made


def projections(weights: Mapping[str, Tensor], wanted: bool) -> tuple[nn.Module, nn.Module]:
    """project_in and project_out, the first with a LayerNorm after it if the file has one."""
    if not wanted:
        return nn.Identity(), nn.Identity()
    if "project_in.0.weight" not in weights:
        return linear(weights, "project_in"), linear(weights, "project_out")
    norm = nn.LayerNorm(len(weights["project_in.1.weight"]))
    with torch.no_grad():
        norm.weight.copy_(weights["project_in.1.weight"])
        norm.bias.copy_(weights["project_in.1.bias"])
    return nn.Sequential(linear(weights, "project_in.0"), norm), linear(weights, "project_out")


def book(
    config: Mapping[str, Any], weights: Mapping[str, Tensor], prefix: str, index: int = 0
) -> VectorQuantizer:
    """One codebook of the file, PREFIX.{embed, ...}[index], as a VectorQuantizer."""
    if not bool(weights[f"{prefix}.initted"]):
        raise ForeignError(f"{prefix}.initted is false: this codebook waits for k-means")
    embed = weights[f"{prefix}.embed"][index]  # (K, D)
    learnable, ema = config.get("learnable_codebook"), config.get("ema_update")
    learn = "gradient" if learnable else "ema" if ema is None or ema else "frozen"
    weight = config.get("commitment_weight", 1.0)
    rotation = config.get("rotation_trick")
    rotation = config["dim"] > 1 if rotation is None else rotation
    made = VectorQuantizer(
        *embed.shape,
        learn="frozen" if config.get("freeze_codebook") else learn,  # type: ignore[arg-type]
        cosine=bool(config.get("use_cosine_sim")),
        commitment=weight,
        one_term=bool(learnable) and not config.get("freeze_codebook"),
        decay=config.get("decay", 0.8),
        eps=config.get("eps", 1e-5),
        running_sums=True,
        gradient="rotation" if rotation else "straight-through",
    )
    counts, sums = weights[f"{prefix}.cluster_size"][index], weights[f"{prefix}.embed_avg"][index]
    state = {
        "codebook": embed,
        "usage": counts,
        "sums": sums,
        "seen": torch.zeros((), dtype=torch.int64),
    }
    made.load_state_dict(state)
    return made


def gradient(of: Tensor, by: Tensor) -> Tensor:
    """D of / d by, zeros where `of` does not depend on it."""
    if not of.requires_grad:
        return torch.zeros_like(by)
    (found,) = torch.autograd.grad(of, by, retain_graph=True, allow_unused=True)
    return torch.zeros_like(by) if found is None else found
