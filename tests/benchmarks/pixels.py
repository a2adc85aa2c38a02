"""One 28 x 28 picture of 256 levels from a gated PixelCNN (8 layers, 0.4M parameters): remembering against recomputing.

Recomputing is the textbook's loop: the pass over the whole picture for every pixel, of which one row of logits is used.
Both sides draw with the same generator and must draw the same picture; the logits agree to 1e-5 at every step.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tests.benchmarks.harness import Result, agree, measure
from zoo import rng
from zoo_pixel.net import pixel_model
from zoo_pixel.sampling import sample

TARGET = 12.0
CONFIG = {
    "kind": "gated",
    "size": 28,
    "channels": 1,
    "levels": 256,
    "width": 40,
    "depth": 8,
    "kernel": 5,
}


@torch.inference_mode()
def run(rounds: int) -> Iterator[Result | str]:
    torch.manual_seed(0)
    net = pixel_model(CONFIG).eval()

    def remembering() -> Tensor:
        quiet = lambda steps, total=None, label="": steps  # noqa: E731
        return net.symbols(sample(net, 1, None, {}, rng.generator(0), quiet))

    def recomputing() -> Tensor:
        streams = rng.streams(rng.generator(0), 1)
        drawn = torch.zeros(1, net.length, dtype=torch.int64)
        for t in range(net.length):
            drawn[:, t] = rng.choose(streams, net.log_tables(drawn, None)[:, t])
        return drawn

    drawn = remembering()
    yield agree("symbols", drawn, recomputing(), 0)
    walk, steps = net.walk(1, None), []
    for t in range(net.length):
        steps.append(walk.log_probabilities())
        walk.push(drawn[:, t])
    yield agree("logits", torch.stack(steps, 1), net.log_tables(drawn, None), 1e-5)

    found = measure({"remembering": remembering, "recomputing": recomputing}, rounds)
    yield found.judge("a picture of 784 pixels", "remembering", "recomputing", TARGET)
    parameters = sum(each.numel() for each in net.parameters())
    each = min(found.wall["remembering"]) / net.length
    yield Result(
        "a picture of 784 pixels",
        "info",
        f"{each * 1e3:.2f} ms a pixel, {parameters / 1e6:.2f}M parameters",
        {"seconds_a_pixel": each, "parameters": parameters},
    )
