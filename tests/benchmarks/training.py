"""One VQGAN training step against taming's: both networks move, with LPIPS and the adaptive weight.

Width 32, multipliers 1, 2, 4, 64 x 64 pixels, batch 4, LPIPS on VGG16, a patch discriminator of width 64, Adam on both
halves. Peers: "taming" is what taming's VQModel does under Lightning (`training_step` runs the autoencoder again for
the discriminator's half, the other half's parameters switched off); "taming, one pass" is the same with that second
pass saved, as a careful user would. Ours are the objectives that `zoo train` runs. Weights (random, VGG's too) are the
same on all sides; losses and gradients of the first step must agree before anything is timed.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

import zoo
from tests.benchmarks.harness import Result, agree, measure
from tests.benchmarks.peers import peer, spread_codes, taming_model

TARGET = 1.12
CODES, DIM, SIDE, BATCH = 1024, 64, 64, 4
DDCONFIG = {
    "double_z": False,
    "z_channels": DIM,
    "resolution": SIDE,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 2, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [16],
    "dropout": 0.0,
}
ADVERSARIAL = 0.8
RATE, BETAS = (
    1e-6,
    (0.5, 0.9),
)  # a small rate: the timed steps stay near the weights that were compared
KINKS = (
    0.05  # |x - x^| has a kink: one pixel of 49,152 on its other side turns the gradient by 0.9 %
)
LOSS = {
    "pixel": "l1",
    "perceptual": "vgg",
    "perceptual_weight": 1.0,
    "adversarial_weight": ADVERSARIAL,
    "discriminator_width": 64,
    "discriminator_layers": 3,
}


def adam(parameters: Sequence[nn.Parameter]) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=RATE, betas=BETAS)


def only(parameters: Sequence[nn.Parameter], others: Sequence[nn.Parameter]) -> None:
    """Lightning's toggle_optimizer, and `zoo.train`'s: gradients reach one half alone."""
    for each in others:
        each.requires_grad_(False)
    for each in parameters:
        each.requires_grad_(True)


class Taming:
    """taming/models/vqgan.py's training_step with its two optimizers."""

    def __init__(self, one_pass: bool) -> None:
        self.one_pass = one_pass
        torch.manual_seed(0)
        self.net = taming_model(DDCONFIG, CODES, DIM).train()
        spread_codes(self.net)
        self.loss = _taming_loss()
        self.halves = [list(self.net.parameters()), list(self.loss.discriminator.parameters())]
        self.optimizers = [adam(half) for half in self.halves]

    def step(self, images: Tensor) -> list[Tensor]:
        losses = []
        for half in (0, 1):
            only(self.halves[half], self.halves[1 - half])
            if half == 0 or not self.one_pass:
                made, commitment = self.net(images)
            last = self.net.get_last_layer()
            value, _ = self.loss(commitment, images, made, half, 1, last_layer=last, split="train")
            self.optimizers[half].zero_grad()
            value.backward()
            self.optimizers[half].step()
            losses.append(value.detach())
        return losses


class Ours:
    """The family's objectives, by turns, as `zoo.train` takes them."""

    def __init__(self, theirs: Taming, folder: Path) -> None:
        from zoo_vq.training import objectives

        params = {"embed_dim": DIM, "n_embed": CODES, "ddconfig": DDCONFIG}
        config = {"model": {"target": "taming.models.vqgan.VQModel", "params": params}}
        (folder / "model.yaml").write_text(yaml.safe_dump(config))
        torch.save({"state_dict": theirs.net.state_dict()}, folder / "last.ckpt")
        self.net: Any = zoo.load(folder / "last.ckpt").net.train()
        _lpips_weights(theirs.loss.perceptual_loss, folder)
        self.objectives = list(objectives(self.net, LOSS))
        module: Any = self.objectives[0].module
        module.discriminator.load_state_dict(theirs.loss.discriminator.state_dict())
        for each in (self.net, module):
            each.to(memory_format=torch.channels_last).train()
        self.halves = [objective.parameters for objective in self.objectives]
        self.optimizers = [adam(half) for half in self.halves]

    def step(self, images: Tensor) -> list[Tensor]:
        losses, batch = [], {"images": images}
        for half, objective in enumerate(self.objectives):
            only(self.halves[half], self.halves[1 - half])
            value, _ = objective.loss(batch, 1)
            self.optimizers[half].zero_grad()
            value.backward()
            self.optimizers[half].step()
            losses.append(value.detach())
        return losses


def run(rounds: int) -> Iterator[Result | str]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(BATCH, 3, SIDE, SIDE, generator=generator) * 2 - 1
    taming, careful = Taming(one_pass=False), Taming(one_pass=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_HOME"] = str(Path(folder, "home"))
        ours = Ours(taming, Path(folder))
    yield from _agree(ours, careful, images)
    sides: dict[str, Callable[[], object]] = {
        "taming": lambda: taming.step(images),
        "ours": lambda: ours.step(images),
        "taming, one pass": lambda: careful.step(images),
    }
    found = measure(sides, rounds)
    yield found.judge("VQGAN training step", "ours", "taming", TARGET)
    yield found.judge("VQGAN training step", "ours", "taming, one pass", TARGET)
    rate = BATCH / min(found.wall["ours"])
    yield Result(
        "VQGAN training step", "info", f"{rate:.1f} pictures a second at best", {"rate": rate}
    )


def _agree(ours: Ours, theirs: Taming, images: Tensor) -> Iterator[str]:
    """Losses and gradients of one step from the same weights."""
    mine, wanted = ours.step(images), theirs.step(images)
    for half, name in enumerate(("autoencoder", "discriminator")):
        yield agree(f"loss of the {name}", mine[half], wanted[half], 1e-4)
    gradients = {name: each.grad for name, each in theirs.net.named_parameters()}
    codebook = gradients.pop("quantize.embedding.weight")
    gradients["quantizer.codebook"] = codebook
    found = {name: each.grad for name, each in ours.net.named_parameters()}
    if found.keys() != gradients.keys():
        raise SystemExit(f"parameters differ: {sorted(found.keys() ^ gradients.keys())}")
    worst = max(
        ((found[name] - each).norm() / each.norm().clamp_min(1e-3)).item()
        for name, each in gradients.items()
    )
    if not worst <= KINKS:
        raise SystemExit(f"gradients differ by {worst:.1e} of a tensor's length, allowed {KINKS}")
    yield f"same gradients: they differ by {worst:.1e} of a tensor's length at most (allowed {KINKS})"


def _taming_loss() -> Any:
    """VQLPIPSWithDiscriminator with a VGG16 of random values: its own would be downloaded."""
    lpips = peer("taming.modules.losses.lpips")
    losses = peer("taming.modules.losses.vqperceptual")
    built, loaded = lpips.models.vgg16, lpips.LPIPS.load_from_pretrained
    torch.manual_seed(0)
    lpips.models.vgg16 = lambda pretrained: built(weights=None)
    lpips.LPIPS.load_from_pretrained = lambda self: None
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            loss = losses.VQLPIPSWithDiscriminator(disc_start=0, disc_weight=ADVERSARIAL)
    finally:
        lpips.models.vgg16, lpips.LPIPS.load_from_pretrained = built, loaded
    for index in range(5):
        lin = getattr(loss.perceptual_loss, f"lin{index}").model[-1].weight
        lin.data.abs_()
    loss.train()
    loss.perceptual_loss.eval()  # without dropout, so that both sides compute the same
    return loss


def _lpips_weights(theirs: nn.Module, folder: Path) -> None:
    """taming's LPIPS as the file `zoo data build lpips` would make."""
    state = {}
    for key, value in theirs.state_dict().items():
        part = key.split(".")
        if part[0] == "net":  # net.slice2.5.weight
            state[f"features.{part[2]}.{part[3]}"] = value.contiguous()
        elif part[0].startswith("lin"):  # lin3.model.1.weight
            state[f"lin.{part[0][3:]}.weight"] = value.contiguous()
    place = folder / "home" / "data" / "lpips"
    place.mkdir(parents=True)
    save_file(state, place / "vgg.safetensors")
