"""minGPT's blocks by their formulas, for the layouts that are made of them."""

import torch
from torch.nn import functional as F

Weights = dict[str, torch.Tensor]


def sizes(width: int, depth: int) -> dict[str, tuple[int, ...]]:
    """Shapes of `depth` blocks with biases and the last norm, by name."""
    linear = {f"attn.{name}": (width, width) for name in ("key", "query", "value", "proj")}
    linear |= {"mlp.0": (4 * width, width), "mlp.2": (width, 4 * width)}
    found: dict[str, tuple[int, ...]] = {}
    norms = ["ln_f"]
    for layer in range(depth):
        norms += [f"blocks.{layer}.ln1", f"blocks.{layer}.ln2"]
        for name, size in linear.items():
            found[f"blocks.{layer}.{name}.weight"] = size
            found[f"blocks.{layer}.{name}.bias"] = size[:1]
    for name in norms:
        found |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return found


def drawn(shapes: dict[str, tuple[int, ...]]) -> Weights:
    """Random weights of these shapes, always the same."""
    draw = torch.Generator().manual_seed(0)
    return {name: torch.randn(size, generator=draw) * 0.3 for name, size in shapes.items()}


def stream(w: Weights, x: torch.Tensor, depth: int, heads: int) -> torch.Tensor:
    """(B, n, C), embedded, to the same behind all blocks and the last norm."""
    count, total, width = x.shape

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (width,), w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    later = torch.ones(total, total).triu(1).bool()
    for layer in range(depth):
        name = f"blocks.{layer}."
        y = norm(x, name + "ln1")
        q, k, v = (
            linear(y, f"{name}attn.{each}").view(count, total, heads, -1).transpose(1, 2)
            for each in ("query", "key", "value")
        )
        seen = (q @ k.mT / (width // heads) ** 0.5).masked_fill(later, -torch.inf).softmax(-1)
        x = x + linear((seen @ v).transpose(1, 2).reshape(count, total, width), name + "attn.proj")
        x = x + linear(F.gelu(linear(norm(x, name + "ln2"), name + "mlp.0")), name + "mlp.2")
    return norm(x, "ln_f")
