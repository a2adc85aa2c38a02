"""OpenAI's discrete VAE (DALL-E 1): encoder, decoder, and its likelihood of pixels.

    logits = encoder(m(x)),   m(x) = (1 - 2 eps) x + eps,   eps = 0.1, x in [0, 1]
    p(y | mu, b) = exp(-|logit y - mu| / b) / (2 b y (1 - y)),   y = m(x)

with mu and log b the two halves of the decoder's channels (Ramesh et al. 2021, arXiv:2102.12092,
appendix A.3: the logit-Laplace distribution lives on (0, 1) as pixels do). A picture is
m^-1(sigmoid(mu)), clamped. Each block adds 1 / layers^2 times four convolutions of a quarter of the
width. Parameters are named w and b, as theirs. Outside, pictures are in [-1, 1] as everywhere here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 0.1
GROUPS = 4


class Conv2d(nn.Module):
    """A convolution of odd kernel k that keeps the size: w (outputs, inputs, k, k), b (outputs)."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.w = nn.Parameter(
            torch.randn(outputs, inputs, kernel, kernel) / (inputs * kernel**2) ** 0.5
        )
        self.b = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.w, self.b, padding=self.w.shape[-1] // 2)


class Block(nn.Module):
    """(B, inputs, H, W) -> (B, outputs, H, W); layers: how many blocks the whole net has."""

    def __init__(self, inputs: int, outputs: int, kernels: tuple[int, ...], layers: int) -> None:
        super().__init__()
        self.gain = 1 / layers**2
        self.id_path = Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        widths = [inputs, *[outputs // 4] * 3, outputs]
        self.res_path = nn.Sequential()
        for i, kernel in enumerate(kernels):
            self.res_path.add_module(f"relu_{i + 1}", nn.ReLU())
            self.res_path.add_module(f"conv_{i + 1}", Conv2d(widths[i], widths[i + 1], kernel))

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.id_path(x), self.res_path(x), alpha=self.gain)


def _groups(
    start: int, widths: list[int], blocks: int, kernels: tuple[int, ...], step: nn.Module
) -> nn.Sequential:
    """group_1 .. group_n of blocks, `step` (pooling or upsampling) after all but the last."""
    body, width = nn.Sequential(), start
    for number, after in enumerate(widths, 1):
        group = nn.Sequential()
        for i in range(blocks):
            group.add_module(f"block_{i + 1}", Block(width, after, kernels, blocks * len(widths)))
            width = after
        if number < len(widths):
            group.add_module("pool" if isinstance(step, nn.MaxPool2d) else "upsample", step)
        body.add_module(f"group_{number}", group)
    return body


class Encoder(nn.Module):
    """Images (B, channels, H, W) in [-1, 1] -> logits of tokens (B, latent, H / 8, W / 8)."""

    def __init__(self, channels: int, latent: int, hidden: int, blocks: int) -> None:
        super().__init__()
        widths = [hidden * 2**i for i in range(GROUPS)]
        middle = _groups(hidden, widths, blocks, (3, 3, 3, 1), nn.MaxPool2d(2))
        self.blocks = nn.Sequential()
        self.blocks.add_module("input", Conv2d(channels, hidden, 7))
        for name, group in middle.named_children():
            self.blocks.add_module(name, group)
        output = nn.Sequential()
        output.add_module("relu", nn.ReLU())
        output.add_module("conv", Conv2d(widths[-1], latent, 1))
        self.blocks.add_module("output", output)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.blocks(squeeze(images))
        return out


class Decoder(nn.Module):
    """Codes, one-hot or soft (B, latent, h, w) -> images (B, channels, 8h, 8w) in [-1, 1]."""

    def __init__(self, channels: int, latent: int, hidden: int, blocks: int, start: int) -> None:
        super().__init__()
        self.channels = channels
        widths = [hidden * 2**i for i in reversed(range(GROUPS))]
        step = nn.Upsample(scale_factor=2, mode="nearest")
        middle = _groups(start, widths, blocks, (1, 3, 3, 3), step)
        self.blocks = nn.Sequential()
        self.blocks.add_module("input", Conv2d(latent, start, 1))
        for name, group in middle.named_children():
            self.blocks.add_module(name, group)
        output = nn.Sequential()
        output.add_module("relu", nn.ReLU())
        output.add_module("conv", Conv2d(hidden, 2 * channels, 1))
        self.blocks.add_module("output", output)

    def statistics(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Mu and log b of the logit-Laplace distribution, (B, channels, 8h, 8w) each."""
        mean, log_scale = self.blocks(codes).split(self.channels, dim=1)
        return mean, log_scale

    def forward(self, codes: Tensor) -> Tensor:
        return stretch(self.statistics(codes)[0].sigmoid())


def squeeze(images: Tensor) -> Tensor:
    """[-1, 1] -> [eps, 1 - eps]: m of the module's text, after (x + 1) / 2."""
    return images * (0.5 - EPS) + 0.5


def stretch(mapped: Tensor) -> Tensor:
    """[eps, 1 - eps] -> [-1, 1], what lies outside clamped."""
    return ((mapped - 0.5) / (0.5 - EPS)).clamp(-1, 1)


def logit_laplace(images: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Nats per number: log p of m(images), images in [-1, 1], mu and log b, all (B, C, H, W)."""
    y = squeeze(images)
    distance = (torch.logit(y) - mean).abs() * torch.exp(-log_scale)
    return -distance - log_scale - torch.log(2 * y * (1 - y))
