"""Whole tokenizers of taming, latent diffusion, diffusers and LlamaGen.

The weights are adopted exactly as a user's file would be, laid into a net built on the meta device,
and run on the recorded pictures. What the references call differently is one quantity here:
`latents` (pre_quant), `tokens` (indices), `codes` (z_q), and the decoder on codes, on looked-up
tokens or on unquantised latents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo import weights
from zoo.adoption import Adoption
from zoo.bare import shapes_only
from zoo.errors import ForeignError
from zoo.foreign_models import renamed
from zoo.nn.discriminator import PatchDiscriminator
from zoo.parity import Case, Runner
from zoo_vq import layouts
from zoo_vq.net import Tokenizer, tokenizer


def adopted(case: Case) -> tuple[Adoption, Tokenizer]:
    """The case's net, float32: every tensor of the file in its place or dropped by name."""
    foreign = case.checkpoint()
    adoption = layouts.adopt(foreign.keys, foreign.config)
    if adoption is None:
        raise ForeignError(f"no layout recognises {foreign.path}")
    with shapes_only():
        net = tokenizer(adoption.config)
    where = str(foreign.path)
    weights.assign(net, renamed(foreign, adoption, where), where)
    return adoption, net.eval()


@dataclass(frozen=True)
class TokenizerRunner:
    """Cases of the layout `name`; `outputs` computes what is recorded from case and net."""

    name: str
    outputs: Callable[[Case, Tokenizer], Mapping[str, Tensor]]

    def recognise(self, case: Case) -> bool:
        """By its files."""
        if len(case.files) != 1 or "x" not in case.inputs:
            return False
        foreign = case.checkpoint()
        adoption = layouts.adopt(foreign.keys, foreign.config)
        return adoption is not None and adoption.layout == self.name

    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        _, net = adopted(case)
        with torch.no_grad():
            return self.outputs(case, net)


def _plain(case: Case, net: Tokenizer) -> dict[str, Tensor]:
    latents = net.latents(case.inputs["x"])
    quantized = net.quantize(latents)
    looked_up = net.lookup(quantized.tokens)
    return {
        "pre_quant": latents,
        "latents": latents,
        "indices": quantized.tokens,
        "z_q": quantized.codes,
        "codebook_entry": looked_up,
        "emb_loss": quantized.loss.view(1),
        "commit_loss": quantized.loss.view(1),
        "reconstruction": net.decode(quantized.codes),
        "reconstruction_from_indices": net.decode(looked_up),
        "reconstruction_force_not_quantize": net.decode(latents),
    }


def _taming(case: Case, net: Tokenizer) -> dict[str, Tensor]:
    out = _plain(case, net)
    start = "loss.discriminator."
    left = {k[len(start) :]: v for k, v in case.weights().items() if k.startswith(start)}
    if left:
        judge = discriminator(left).eval()
        out["disc_logits_x"] = judge(case.inputs["x"])
        out["disc_logits_reconstruction"] = judge(out["reconstruction"])
    return out


def discriminator(state: Mapping[str, Tensor]) -> PatchDiscriminator:
    """The discriminator whose state these tensors are, its size read off their shapes."""
    first = state["main.0.weight"]
    net = PatchDiscriminator(
        channels=first.shape[1],
        width=first.shape[0],
        layers=sum(v.ndim == 4 and v.shape[-1] == 4 for v in state.values()) - 2,
        actnorm=any(k.endswith(".loc") for k in state),
    )
    net.load_state_dict(dict(state), strict=True)
    return net


def _gumbel(case: Case, net: Tokenizer) -> dict[str, Tensor]:
    latents = net.latents(case.inputs["x"])
    logits = net.quantizer.logits(latents)
    quantized = net.quantize(latents)
    codes = net.lookup(quantized.tokens)
    return {
        "pre_quant": latents,
        "logits": logits,
        "indices_argmax": quantized.tokens,
        "codebook_entry": codes,
        "reconstruction_argmax": net.decode(codes),
        "kl": quantized.loss.view(1),
        "soft_one_hot_no_noise": F.softmax(logits / net.quantizer.temperature, dim=1),
    }


def _llamagen(case: Case, net: Tokenizer) -> dict[str, Tensor]:
    out = _plain(case, net)
    if "quantizer_upstream_grad" not in case.inputs:
        return out
    z = out["pre_quant"].detach().requires_grad_()
    book = net.quantizer.train()
    config = case.config or {}
    with torch.enable_grad():
        found = book(z)
        grads = torch.autograd.grad(found.loss, [z, book.codebook], retain_graph=True)
        (through,) = torch.autograd.grad(found.codes, z, case.inputs["quantizer_upstream_grad"])
    distance = found.metrics["commitment"]
    entropy = found.metrics.get("sample_entropy", distance * 0) - found.metrics.get(
        "batch_entropy", 0
    )
    return out | {
        "train.vq_loss": distance.view(1),
        "train.commit_loss": (config.get("commit_loss_beta", 0.25) * distance).view(1),
        "train.entropy_loss": (config.get("entropy_loss_ratio", 0.0) * entropy).view(1),
        "train.grad_z": grads[0],
        "train.grad_codebook": grads[1],
        "train.straight_through_grad": through,
    }


RUNNERS: list[Runner] = [
    TokenizerRunner("taming-vqgan", _taming),
    TokenizerRunner("taming-gumbelvq", _gumbel),
    TokenizerRunner("compvis-ldm-vq", _taming),
    TokenizerRunner("diffusers-vqmodel", _plain),
    TokenizerRunner("llamagen-vq", _llamagen),
]
