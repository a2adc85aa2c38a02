"""RealNVP on 784 numbers, 8 couplings of two hidden layers of 256: densities, samples and a training step against zuko.

Both sides have the same 2.94 million parameters and compute the same function: zuko's weights are copied, its
interleaved scales and shifts taken apart. zuko's `log_prob`, `sample` and loss are what its users call; ours are a
`FlatStage` with the standard normal as `zoo_flow.net.Flow` has them, without the 8-bit part that zuko lacks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.harness import Result, agree, measure
from tests.benchmarks.peers import peer
from zoo_flow.flat import FlatStage

TARGET = 2.0
DIMENSIONS, COUPLINGS, HIDDEN = 784, 8, [256, 256]


def pair() -> tuple[Any, FlatStage]:
    """zuko's flow and ours with its weights."""
    torch.manual_seed(0)
    theirs = peer("zuko").flows.RealNVP(
        DIMENSIONS, transforms=COUPLINGS, hidden_features=tuple(HIDDEN)
    )
    ours = FlatStage((1, 28, 28), COUPLINGS, HIDDEN, scale="soft")
    with torch.no_grad():
        for net, transform in zip(ours.nets, theirs.transform.transforms, strict=True):
            linear = [layer for layer in transform.hyper if hasattr(layer, "weight")]
            for mine, layer in zip(net.layers, linear, strict=True):
                weight, bias = layer.weight, layer.bias
                if layer is linear[-1]:  # shift, scale, shift, scale ... -> scales, then shifts
                    order = torch.arange(DIMENSIONS).view(-1, 2).flip(1).T.flatten()
                    weight, bias = weight[order], bias[order]
                mine.weight.copy_(weight)
                mine.bias.copy_(bias)
    sizes = [sum(p.numel() for p in each.parameters()) for each in (theirs, ours)]
    if sizes[0] != sizes[1]:
        raise SystemExit(f"zuko has {sizes[0]} parameters, ours {sizes[1]}")
    return theirs, ours


def log_prob(flow: FlatStage, x: Tensor) -> Tensor:
    """(B, 784) -> (B,) nats under the standard normal of z."""
    z, _, logdet = flow(x)
    return logdet - z.square().sum(1) / 2 - DIMENSIONS * math.log(2 * math.pi) / 2


def run(rounds: int) -> Iterator[Result | str]:
    theirs, ours = pair()
    x = torch.randn(1024, DIMENSIONS, generator=torch.Generator().manual_seed(1))
    z = torch.randn(64, DIMENSIONS, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        yield agree("log_prob", log_prob(ours, x[:64]), theirs().log_prob(x[:64]), 2e-3)
        yield agree("inverse", ours.inverse(z), theirs().transform.inv(z), 1e-4)
        for batch in (1, 64, 1024):
            found = measure(
                {
                    "zuko": lambda b=batch: theirs().log_prob(x[:b]),
                    "ours": lambda b=batch: log_prob(ours, x[:b]),
                },
                rounds,
            )
            yield found.judge(f"log_prob, batch {batch}", "ours", "zuko", TARGET)
        for batch in (64, 1024):
            found = measure(
                {
                    "zuko": lambda b=batch: theirs().sample((b,)),
                    "ours": lambda b=batch: ours.inverse(torch.randn(b, DIMENSIONS)),
                },
                rounds,
            )
            yield found.judge(f"sampling, batch {batch}", "ours", "zuko", TARGET)
    found = measure(
        {
            "zuko": _step(theirs, lambda: -theirs().log_prob(x[:256]).mean()),
            "ours": _step(ours, lambda: -log_prob(ours, x[:256]).mean()),
        },
        rounds,
    )
    yield found.judge("training step, batch 256", "ours", "zuko", TARGET)


def _step(net: Any, loss: Any) -> Any:
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-6, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step
