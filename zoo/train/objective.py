"""What a family asks the trainer to minimise.

A model is trained by one or more objectives taken in turn within a step: one for a VAE or a
diffusion model, two for a GAN (Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1) or a VQ-GAN.
The k-th objective is

    min over theta_k of  E_batch [ loss_k(batch; theta_1, ..., theta_K) ],

and its optimizer steps right after its own backward pass, so objective k+1 already sees theta_k
moved. The types here are torch-free at import, so that a plugin can name them without cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, nn

Batch: TypeAlias = MutableMapping[str, Any]
"""`images` (B, C, H, W) float in [-1, 1], or for a set of tokens `tokens` (B, h, w) int64 alone; if
the data have them `labels` (B,) int64 and `captions`, a list of B strings. All objectives of a step
are given the same object for the same pictures, so one may leave detached results in it for the
next (a reconstruction for the discriminator)."""


@dataclass
class Objective:
    """One thing to minimise; a family's `objectives(net, recipe)` hook returns a sequence of these.

    Attributes:
        name: Names its columns in metrics.jsonl and its table `[optimizer.NAME]` in a recipe.
        parameters: What its optimizer moves. Each must belong to the net or to a `module`.
        loss: `loss(batch, step) -> (scalar, metrics)`. Called with gradients and `net.train()` for
            training, and under `torch.no_grad` with `net.eval()` on held-out pictures, so it must
            work in both. Randomness: draw from torch's global generator; the trainer seeds it for
            each (recipe seed, step, part of the batch) before every call, so that a run is fixed by
            its seed and a resumed run repeats it bit for bit. Keep no state outside parameters and
            buffers: what is neither is lost on resume.
        module: A module that is not part of the net (a discriminator, LPIPS). The trainer moves it
            to the device and writes its trainable parameters and buffers into checkpoints (frozen
            parameters are not written) and leaves it in the mode it comes in (a frozen LPIPS in
            evaluation mode); it is never part of a card's weights.
        start: First step at which the objective is used; its learning-rate warm-up starts there.
        after_step: Called with the step after this objective's optimizer moved (codebook revival
            ...), with torch's global generator seeded alike on all processes.
        preview: `preview(batch) -> images` (N, C, H, W) in [-1, 1] for the picture grids. Without
            it the trainer shows pictures over their reconstructions if the family encodes and
            decodes, else samples, both without a condition.
    """

    name: str
    parameters: list[nn.Parameter]
    loss: Callable[[Batch, int], tuple[Tensor, Mapping[str, Tensor | float]]]
    module: nn.Module | None = None
    start: int = 0
    after_step: Callable[[int], None] | None = None
    preview: Callable[[Batch], Tensor] | None = None
