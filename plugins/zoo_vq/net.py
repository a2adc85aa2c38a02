"""The network of a vector-quantised tokenizer: images -> latents -> tokens -> codes -> images.

    latents = quant_conv(encoder(images))          (B, D, h, w)
    tokens  = quantizer's index for each position  (B, h, w) int64
    codes   = quantizer's vector for each token    (B, D, h, w)
    images  = decoder(post_quant_conv(codes))      (B, C, H, W), about [-1, 1]

(van den Oord et al. 2017, arXiv:1711.00937; Esser et al. 2020, arXiv:2012.09841.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from zoo.errors import Unsupported
from zoo.nn.autoencoder import Decoder, Encoder
from zoo.nn.quantizers import (
    FiniteScalarQuantizer,
    GumbelQuantizer,
    LookupFreeQuantizer,
    Quantized,
    ResidualQuantizer,
    VectorQuantizer,
)
from zoo_vq import compact, discrete_vae, dvae, magvit2, tiny
from zoo_vq.remap import Remap

ENCODERS: Mapping[str, Callable[..., nn.Module]] = {
    "residual": Encoder,
    "compact": compact.Encoder,
    "magvit2": magvit2.Encoder,
    "dvae": dvae.Encoder,
    "discrete-vae": discrete_vae.Encoder,
    "tiny": tiny.Encoder,
}
DECODERS: Mapping[str, Callable[..., nn.Module]] = {
    "residual": Decoder,
    "compact": compact.Decoder,
    "magvit2": magvit2.Decoder,
    "dvae": dvae.Decoder,
    "discrete-vae": discrete_vae.Decoder,
    "tiny": tiny.Decoder,
}


class Missing(nn.Module):
    """Stands for the half that a checkpoint does not hold (OpenAI published encoder.pkl and decoder.pkl apart)."""

    def __init__(self, half: str) -> None:
        super().__init__()
        self.lacks = half

    def forward(self, x: Tensor) -> Tensor:
        raise Unsupported(
            f"this checkpoint holds no {self.lacks}: load the folder with both encoder and decoder"
        )


class Tokenizer(nn.Module):
    """Encoder, quantizer and decoder; `remap` if tokens are renumbered."""

    quantizer: Any  # a zoo.nn.quantizers.Quantizer, which nn.Module's attributes do not tell

    def __init__(
        self,
        encoder: nn.Module,
        quant_conv: nn.Module,
        quantizer: nn.Module,
        post_quant_conv: nn.Module,
        decoder: nn.Module,
        remap: Remap | None = None,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.quant_conv = quant_conv
        self.quantizer = quantizer
        self.post_quant_conv = post_quant_conv
        self.decoder = decoder
        self.remap = remap
        self.channels = channels

    @property
    def codes(self) -> int:
        """How many tokens there are: 0 .. codes - 1."""
        return int(self.quantizer.codes if self.remap is None else self.remap.codes)

    def latents(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> (B, D, h, w), before quantising."""
        out: Tensor = self.quant_conv(self.encoder(images))
        return out

    def quantize(self, latents: Tensor, generator: Generator | None = None) -> Quantized:
        """(B, D, h, w) -> codes, tokens, loss, metrics."""
        out: Quantized = self.quantizer(latents, generator)
        return out if self.remap is None else out._replace(tokens=self.remap.narrow(out.tokens))

    def tokens(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, h, w) int64."""
        out: Tensor = self.quantizer.tokens(self.latents(images))
        return out if self.remap is None else self.remap.narrow(out)

    def lookup(self, tokens: Tensor) -> Tensor:
        """(B, h, w) integer -> codes (B, D, h, w)."""
        out: Tensor = self.quantizer.lookup(
            tokens if self.remap is None else self.remap.widen(tokens)
        )
        return out

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (or unquantised latents) (B, D, h, w) -> images (B, C, H, W)."""
        h = self.post_quant_conv(codes)
        out: Tensor = (
            self.decoder(h, codes) if isinstance(self.decoder, Decoder) else self.decoder(h)
        )
        return out

    def forward(self, images: Tensor) -> tuple[Tensor, Quantized]:
        """One pass for training: the reconstruction and what the quantizer gave."""
        quantized = self.quantize(self.latents(images))
        return self.decode(quantized.codes), quantized

    def redraw(self, images: Tensor) -> tuple[Tensor, Quantized]:
        """As `forward` for training the decoder alone: every token and code stays as it is."""
        with torch.no_grad():
            self.quantizer.eval()
            quantized = self.quantize(self.latents(images))
        return self.decode(quantized.codes), quantized

    def tunable(self) -> Mapping[str, Sequence[str]]:
        """What `zoo finetune` moves: the decoder alone, so that every token stays as it is."""
        return {"decoder": ("post_quant_conv*", "decoder*")}

    def last_layer(self) -> Tensor:
        """The decoder's last weight, at which a VQ-GAN balances its two losses."""
        return next(
            v for k, v in reversed(list(self.decoder.named_parameters())) if k.endswith("weight")
        )

    def reset_buffers(self) -> None:
        """Make the buffers that are not in the state dict, after loading onto a net built on the meta device."""
        for name, buffer in list(self.quantizer.named_buffers(recurse=False)):
            if buffer.is_meta:
                device = next(self.parameters()).device
                fresh = torch.ones if name == "usage" else torch.zeros
                made = fresh(buffer.shape, dtype=buffer.dtype, device=device)
                self.quantizer.register_buffer(name, made, persistent=False)


def vector(statistics: bool = True, **options: Any) -> VectorQuantizer:
    """A codebook. Without `statistics` its running counts are no part of the state, as in published checkpoints."""
    quantizer = VectorQuantizer(**options)
    for name in () if statistics else ("usage", "seen"):
        buffer = getattr(quantizer, name)
        delattr(quantizer, name)
        quantizer.register_buffer(name, buffer, persistent=False)
    return quantizer


def residual(depth: int, shared: bool = False, dropout: bool = False, **options: Any) -> nn.Module:
    """A stack of `depth` codebooks, or one used `depth` times; options are VectorQuantizer's."""
    if shared:
        book = VectorQuantizer(running_sums=True, **options)
        return ResidualQuantizer(book, depth, dropout=dropout)
    layers = [VectorQuantizer(**options) for _ in range(depth)]
    return ResidualQuantizer(layers, dropout=dropout)


QUANTIZERS: Mapping[str, Callable[..., nn.Module]] = {
    "vector": vector,
    "gumbel": GumbelQuantizer,
    "lookup-free": LookupFreeQuantizer,
    "finite-scalar": FiniteScalarQuantizer,
    "residual": residual,
}


def tokenizer(config: Mapping[str, Any]) -> Tokenizer:
    """The net of a configuration: `encoder`, `decoder`, `quantizer` (each with a `kind`) and perhaps `remap`.

    `quant_conv` and `post_quant_conv` false leave these out; an encoder or decoder of None is half a tokenizer.

    Raises TypeError for an unknown or missing option, KeyError for an unknown kind.
    """
    odd = set(config) - {
        "encoder",
        "decoder",
        "quantizer",
        "quant_conv",
        "post_quant_conv",
        "remap",
    }
    if odd:
        raise TypeError(f"a tokenizer's config has no {', '.join(sorted(odd))}")
    sides = {"encoder": ENCODERS, "decoder": DECODERS}
    options = {name: dict(config[name]) for name in sides if config[name] is not None}
    known = next(iter(options.values()))  # an encoder, or the decoder if that is all there is
    halves = {
        name: kinds[options[name].pop("kind", "residual")](**options[name])
        if name in options
        else Missing(name)
        for name, kinds in sides.items()
    }
    quantizer = dict(config["quantizer"])
    codebook: Any = QUANTIZERS[quantizer.pop("kind", "vector")](**quantizer)
    width = getattr(codebook, "width", codebook.dim)  # of a code, where latents are logits of it
    before: nn.Module = nn.Identity()
    if config.get("quant_conv", True):
        before = nn.Conv2d(known.get("latent") or known["widths"][-1], codebook.dim, 1)
    after: nn.Module = nn.Identity()
    if config.get("post_quant_conv", True):
        after = nn.Conv2d(width, options["decoder"]["latent"], 1)
    return Tokenizer(
        halves["encoder"],
        before,
        codebook,
        after,
        halves["decoder"],
        Remap(**config["remap"]) if config.get("remap") else None,
        channels=known["channels"],
    )
