"""ddpm-cifar10 compiled against ddpm-cifar10 as it is: 16 pictures of 20 steps, after the compiling itself.

The same noise, pictures equal to 1e-4. float32, one thread. What compiling takes is printed; it wants a C++ compiler.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import zoo
from tests.benchmarks.harness import Result, agree, measure
from zoo.model import Model

TARGET, TOLERANCE = 1.0, 1e-4


def run(rounds: int) -> Iterator[Result | str]:
    plain, compiled = zoo.load("ddpm-cifar10"), zoo.load("ddpm-cifar10").compile()

    def drawn(model: Model) -> zoo.Images:
        return model.sample(16, seed=0, steps=20)

    began = perf_counter()
    first = drawn(compiled)
    yield f"compiling and the first call took {perf_counter() - began:.0f} s"
    yield agree("pictures", first.tensor, drawn(plain).tensor, TOLERANCE)
    took = measure({"compiled": lambda: drawn(compiled), "plain": lambda: drawn(plain)}, rounds)
    yield took.judge("sampling", "compiled", "plain", TARGET)
