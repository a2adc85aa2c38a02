"""The projects measured against: imported here, or the benchmark stops and says what installs them.

A peer that is not there is an error, never a skipped line. taming-transformers asks for pytorch-lightning, which none
of the modules used here imports, so it is installed without its dependencies. So does DALLE-pytorch, for two tokenizers
that are not used here.
"""

from __future__ import annotations

import contextlib
import io
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

INSTALL = {
    "taming": "pip install --no-deps taming-transformers-rom1504 einops torchvision requests tqdm",
    "vector_quantize_pytorch": "pip install vector-quantize-pytorch",
    "diffusers": "pip install diffusers",
    "zuko": "pip install zuko",
    "compressai": "pip install compressai",
    "denoising_diffusion_pytorch": "pip install denoising-diffusion-pytorch",
    "transformers": "pip install transformers",
    "dalle_pytorch": "pip install --no-deps dalle-pytorch axial-positional-embedding rotary-embedding-torch einops",
}


class Absent(SystemExit):
    """A peer is not installed; the message says how to get it."""


def peer(name: str) -> ModuleType:
    """Import `name`; prints of its own are dropped. Raises Absent."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return import_module(name)
    except ImportError as error:
        raise Absent(
            f"this benchmark compares with {name.partition('.')[0]}, which cannot be imported ({error}). Install it: "
            f"{INSTALL[name.partition('.')[0]]}"
        ) from error


# taming's configs/imagenet_vqgan_f16_16384: the published VQGAN.
IMAGENET_F16 = {
    "double_z": False,
    "z_channels": 256,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 1, 2, 2, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [16],
    "dropout": 0.0,
}
CODES = 16384


def taming_model(
    ddconfig: dict[str, Any] = IMAGENET_F16, codes: int = CODES, dim: int = 256
) -> Any:
    """taming's VQModel (taming/models/vqgan.py) without Lightning: same children, same names, same arithmetic."""
    from torch import nn

    model = peer("taming.modules.diffusionmodules.model")
    quantize = peer("taming.modules.vqvae.quantize")

    class VQModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            with contextlib.redirect_stdout(io.StringIO()):
                self.encoder = model.Encoder(**ddconfig)
                self.decoder = model.Decoder(**ddconfig)
            self.quantize = quantize.VectorQuantizer2(codes, dim, beta=0.25, sane_index_shape=True)
            self.quant_conv = nn.Conv2d(ddconfig["z_channels"], dim, 1)
            self.post_quant_conv = nn.Conv2d(dim, ddconfig["z_channels"], 1)

        def encode(self, x: Any) -> Any:
            return self.quantize(self.quant_conv(self.encoder(x)))

        def decode(self, codes: Any) -> Any:
            return self.decoder(self.post_quant_conv(codes))

        def forward(self, x: Any) -> Any:
            codes, loss, _ = self.encode(x)
            return self.decode(codes), loss

        def get_last_layer(self) -> Any:
            return self.decoder.conv_out.weight

    return VQModel()


def spread_codes(model: Any) -> None:
    """Give a random codebook the scale of a trained one: VectorQuantizer2 starts within 1/K, where every code ties."""
    import torch

    with torch.no_grad():
        model.quantize.embedding.weight.normal_()


def dalle_pytorch() -> ModuleType:
    """The module with DALLE and DiscreteVAE, without the wrappers of other projects' tokenizers.

    `dalle_pytorch.vae` imports all of taming and Lightning for them; here it is two empty classes, which DALLE only
    asks whether its tokenizer is one of. Raises Absent.
    """
    if "dalle_pytorch" not in sys.modules and (found := find_spec("dalle_pytorch")) is not None:
        package = ModuleType("dalle_pytorch")
        package.__path__ = list(found.submodule_search_locations or ())
        wrappers = ModuleType("dalle_pytorch.vae")
        for name in ("OpenAIDiscreteVAE", "VQGanVAE"):
            setattr(wrappers, name, type(name, (), {}))
        sys.modules["dalle_pytorch"], sys.modules["dalle_pytorch.vae"] = package, wrappers
    return peer("dalle_pytorch.dalle_pytorch")
