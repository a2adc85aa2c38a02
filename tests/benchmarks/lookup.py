"""Nearest of 16,384 codes of 256 for the 256 latents of one picture: the quantizers of two peers against ours.

Each side is what its owner calls to get tokens and codes out of latents (1, 256, 16, 16), no gradients. Latents and
codes are random normal, as far apart as trained ones, and every side must give the same tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from tests.benchmarks.harness import Result, agree, measure
from tests.benchmarks.peers import CODES, peer
from zoo.nn.quantizers import VectorQuantizer

TAMING, LUCIDRAINS = 1.8, 2.0
DIM, SIDE = 256, 16


@torch.inference_mode()
def run(rounds: int) -> Iterator[Result | str]:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1, DIM, SIDE, SIDE, generator=generator)
    codebook = torch.randn(CODES, DIM, generator=generator)

    taming = peer("taming.modules.vqvae.quantize").VectorQuantizer2(
        CODES, DIM, beta=0.25, sane_index_shape=True
    )
    taming.embedding.weight.copy_(codebook)
    lucidrains = peer("vector_quantize_pytorch").VectorQuantize(
        dim=DIM, codebook_size=CODES, accept_image_fmap=True
    )
    lucidrains.eval()
    lucidrains._codebook.embed.copy_(codebook[None])
    quantizer = VectorQuantizer(CODES, DIM, learn="frozen").eval()
    quantizer.codebook.copy_(codebook)

    def ours() -> Any:
        tokens = quantizer.tokens(z)
        return tokens, quantizer.lookup(tokens)

    tokens, codes = ours()
    theirs = taming(z)
    yield agree("tokens, taming", tokens, theirs[2][2], 0)
    yield agree("codes, taming", codes, theirs[0], 1e-5)
    theirs = lucidrains(z)
    yield agree("tokens, vector-quantize-pytorch", tokens, theirs[1], 0)
    yield agree("codes, vector-quantize-pytorch", codes, theirs[0], 1e-5)

    flat, turned = z.movedim(1, -1).reshape(-1, DIM), codebook.T
    sides = {
        "taming": lambda: taming(z),
        "ours": ours,
        "vector-quantize-pytorch": lambda: lucidrains(z),
        "matrix product alone": lambda: flat @ turned,
    }
    found = measure(sides, rounds)
    yield found.judge("codebook lookup", "ours", "taming", TAMING)
    yield found.judge("codebook lookup", "ours", "vector-quantize-pytorch", LUCIDRAINS)
    floor = found.ratio("ours", "matrix product alone", "cpu").median
    yield Result(
        "codebook lookup",
        "info",
        f"the matrix product is {floor:.0%} of our CPU time",
        {"floor": floor},
    )
