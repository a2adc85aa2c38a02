"""The patch discriminator and the adversarial losses of VQGAN.

A stack of 4x4 convolutions tells real from made for each patch of a picture (Isola et al.,
"pix2pix", arXiv:1611.07004). Losses: hinge (Lim & Ye, arXiv:1705.02894) and logistic (Goodfellow et
al., arXiv:1406.2661); the generator maximises the logits of what it made, weighted so that at the
decoder's last layer its gradient is as long as the reconstruction's (Esser et al.,
arXiv:2012.09841, eq. 7). Parameter names are taming-transformers'.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ActNorm(nn.Module):
    """scale * (x + loc) a channel, (B, C, H, W) -> (B, C, H, W), set from the first training batch.

    That batch leaves with mean 0 and standard deviation 1 a channel (Kingma & Dhariwal, "Glow",
    arXiv:1807.03039). `initialized` is a stored flag.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.initialized: Tensor
        self.register_buffer("initialized", torch.tensor(0, dtype=torch.uint8))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Set loc and scale so that x (B, C, H, W) comes out standardised."""
        deviation, mean = torch.std_mean(x, dim=(0, 2, 3), keepdim=True)
        self.loc.copy_(-mean)
        self.scale.copy_(1 / (deviation + 1e-6))
        self.initialized.fill_(1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift, once in training set from x."""
        if self.training and not self.initialized:
            self.initialize(x)
        return self.scale * (x + self.loc)


class PatchDiscriminator(nn.Module):
    """Logits of patches, about 2 ** layers pixels apart: (B, channels, H, W) -> (B, 1, h, w).

    `layers` convolutions of stride 2 (the first without a norm), one of stride 1, one to a single
    channel; widths `width` * 1, 2, 4, 8, 8, ... . The norm is BatchNorm, or ActNorm with `actnorm`.
    """

    def __init__(
        self, channels: int = 3, width: int = 64, layers: int = 3, actnorm: bool = False
    ) -> None:
        super().__init__()
        stack: list[nn.Module] = [
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        inputs = width
        for index in range(1, layers + 1):
            outputs = width * min(2**index, 8)
            stride = 2 if index < layers else 1
            stack += [
                nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=actnorm),
                ActNorm(outputs) if actnorm else nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            inputs = outputs
        stack.append(nn.Conv2d(inputs, 1, 4, stride=1, padding=1))
        self.main = nn.Sequential(*stack)
        self.channels, self.width, self.layers, self.actnorm = channels, width, layers, actnorm

    def initialize(self, generator: torch.Generator | None = None) -> None:
        """pix2pix's start: convolutions N(0, 0.02), norm scales N(1, 0.02), norm shifts 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Judge; see the class."""
        out: Tensor = self.main(images.contiguous(memory_format=torch.channels_last))
        return out


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Half of mean max(0, 1 - real) + mean max(0, 1 + fake), (); logits of any shape."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def logistic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Half of mean softplus(-real) + mean softplus(fake), (); logits of any shape."""
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


def generator_loss(fake: Tensor) -> Tensor:
    """The generator's loss (): minus the mean logit of what it made."""
    return -fake.mean()


def adaptive_weight(
    reconstruction: Tensor, adversarial: Tensor, last: Tensor, weight: float = 1.0
) -> Tensor:
    """How much of the adversarial loss to add, (), detached.

    weight |d reconstruction / d last| / (|d adversarial / d last| + 1e-4), the ratio at most 1e4.
    `last` is the decoder's last layer's weight; both losses are scalars whose graphs are kept.
    """
    ours = torch.autograd.grad(reconstruction, last, retain_graph=True)[0].norm()
    theirs = torch.autograd.grad(adversarial, last, retain_graph=True)[0].norm()
    out: Tensor = weight * (ours / (theirs + 1e-4)).clamp(0.0, 1e4).detach()
    return out
