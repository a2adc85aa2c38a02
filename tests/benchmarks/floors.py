"""What this machine gives right now: arithmetic (a matrix product) and memory (a copy), per second of CPU time.

Every benchmark measures both before and after itself and says so; if they moved by more than a fifth the machine was
not the same throughout, and its ratios, being paired, are all that is left to read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

MOVED = 0.2


@dataclass(frozen=True)
class Floors:
    """GFLOP/s of a 1536^3 product and GB/s (read and written) of a 128 MB copy, the best of a few, by CPU time."""

    gflops: float
    gbytes: float

    @classmethod
    def now(cls, tries: int = 5) -> Floors:
        side = 1536
        a, b, c = (torch.ones(side, side) for _ in range(3))
        source, target = torch.ones(32 << 20), torch.zeros(32 << 20)
        product, copy = [], []
        for _ in range(tries):
            started = time.process_time()
            torch.mm(a, b, out=c)
            product.append(time.process_time() - started)
            started = time.process_time()
            target.copy_(source)
            copy.append(time.process_time() - started)
        return cls(2 * side**3 / min(product) / 1e9, 2 * source.nbytes / min(copy) / 1e9)

    def text(self) -> str:
        return f"{self.gflops:.0f} GFLOP/s, {self.gbytes:.1f} GB/s"

    def moved(self, later: Floors) -> str:
        """One line on the machine before and after."""
        worst = max(
            abs(later.gflops / self.gflops - 1),
            abs(later.gbytes / self.gbytes - 1),
        )
        verdict = f"moved by {worst:.0%}" + (": a restless machine" if worst > MOVED else "")
        return f"machine, one thread: {self.text()} before, {later.text()} after ({verdict})"
