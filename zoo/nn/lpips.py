"""Learned perceptual image patch similarity, LPIPS 0.1 (Zhang et al., 2018, arXiv:1801.03924).

    d(x, y) = sum_l mean_{h,w} w_l . (f_l(x) / |f_l(x)| - f_l(y) / |f_l(y)|)^2

f_l are the activations of five layers of an ImageNet classifier (AlexNet or VGG16), |.| the norm
over channels (1e-10 is added to it) and w_l >= 0 weights learned from human judgements. The sum
is 0 for equal pictures, about 0.05 for pictures hard to tell apart, 0.7 and more for unrelated
ones.

The weights are those of the package `lpips` 0.1.4; `zoo data build lpips` lays them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from zoo.errors import DataError, ImageError, RequestError, WeightsError
from zoo.hub.home import home

Backbone = Literal["alex", "vgg"]
SHIFT = (-0.030, -0.088, -0.188)  # ImageNet's mean and deviation, of images in [-1, 1]
SCALE = (0.458, 0.448, 0.450)
TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
WIDTHS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
SMALLEST = {"alex": 31, "vgg": 16}  # one pixel less and the last pooling has nothing to pool


def _alexnet() -> Iterator[nn.Module]:
    yield nn.Conv2d(3, 64, 11, stride=4, padding=2)
    yield nn.ReLU()
    yield nn.MaxPool2d(3, 2)
    yield nn.Conv2d(64, 192, 5, padding=2)
    yield nn.ReLU()
    yield nn.MaxPool2d(3, 2)
    for before, after in ((192, 384), (384, 256), (256, 256)):
        yield nn.Conv2d(before, after, 3, padding=1)
        yield nn.ReLU()


def _vgg16() -> Iterator[nn.Module]:
    before = 3
    for level, (width, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        if level:
            yield nn.MaxPool2d(2, 2)
        for _ in range(depth):
            yield nn.Conv2d(before, width, 3, padding=1)
            yield nn.ReLU()
            before = width


class LPIPS(nn.Module):
    """Perceptual distance of two batches of pictures; its parameters are frozen.

    Args:
        net: "alex" (the metric usually reported) or "vgg" (the usual training loss).
        folder: where `alex.safetensors` and `vgg.safetensors` lie; by default where
            `zoo data build lpips` puts them.

    Raises:
        RequestError: for another net.
        DataError: the weights are not there; the message says how to build them.
        WeightsError: the file is damaged or holds other weights.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, net: Backbone = "alex", folder: str | Path | None = None) -> None:
        super().__init__()
        if net not in TAPS:
            raise RequestError(f"LPIPS has no net {net!r}; there are 'alex' and 'vgg'.")
        self.net = net
        with torch.device("meta"):  # assigned below, never initialised
            self.features = nn.Sequential(*(_alexnet() if net == "alex" else _vgg16()))
            self.lin = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in WIDTHS[net])
        self._load(Path(folder) if folder is not None else home() / "data" / "lpips")
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def _load(self, folder: Path) -> None:
        path = folder / f"{self.net}.safetensors"
        if not path.is_file():
            raise DataError(
                f"LPIPS needs the weights {path}, which are not there. "
                "Build them once with `zoo data build lpips`."
            )
        again = "Delete it and run `zoo data build lpips`."
        try:
            state = load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} cannot be read: {error}. {again}") from error
        wanted = {key: tuple(value.shape) for key, value in self.state_dict().items()}
        found = {key: tuple(value.shape) for key, value in state.items()}
        if wanted != found:
            key = min(k for k in {*wanted, *found} if wanted.get(k) != found.get(k))
            raise WeightsError(
                f"{path} does not hold LPIPS's {self.net} weights: {key} should be "
                f"{wanted.get(key, 'absent')} and is {found.get(key, 'absent')}. {again}"
            )
        self.load_state_dict({k: v.float() for k, v in state.items()}, assign=True)

    def taps(self, images: Tensor) -> list[Tensor]:
        """Activations of the five layers, each of unit length over channels.

        Args:
            images: (B, 3, H, W) in [-1, 1]; H and W at least 31 (alex) or 16 (vgg).

        Returns:
            Five tensors (B, C_l, H_l, W_l), to compare many candidates with one picture at once.
        """
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < SMALLEST[self.net]:
            raise ImageError(
                f"LPIPS ({self.net}) takes images (B, 3, H, W) of at least {SMALLEST[self.net]} "
                f"pixels a side; got {tuple(images.shape)}."
            )
        x = (images - self.shift) / self.scale
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in TAPS[self.net]:
                # vector_norm has gradient 0 where all channels are 0; sqrt would give NaN there.
                found.append(x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10))
        return found

    def distance(self, taps: list[Tensor], others: list[Tensor]) -> Tensor:
        """Distance (B,) of two results of `taps`; one of them may have batch size 1."""
        total = torch.zeros((), device=self.shift.device)
        for lin, a, b in zip(self.lin, taps, others, strict=True):
            total = total + lin((a - b).square()).mean((1, 2, 3))
        return total  # (B,)

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Perceptual distance of each picture to its partner; differentiable in both.

        Args:
            images: (B, 3, H, W) in [-1, 1].
            others: the same shape.

        Returns:
            (B,) distances, 0 for equal pictures.

        Raises:
            ImageError: the shapes differ, or are not those of RGB pictures.
        """
        if images.shape != others.shape:
            raise ImageError(
                "LPIPS compares pictures of one shape; "
                f"got {tuple(images.shape)} and {tuple(others.shape)}."
            )
        with torch.set_grad_enabled(torch.is_grad_enabled() and others.requires_grad):
            wanted = self.taps(others)
        return self.distance(self.taps(images), wanted)
