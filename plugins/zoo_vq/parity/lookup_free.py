"""Open-MAGVIT2's LFQ alone, and its whole tokenizer with raw and averaged weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ForeignError
from zoo.foreign import Foreign
from zoo.nn.quantizers import LookupFreeQuantizer
from zoo.parity import Case
from zoo_vq.parity.adopted import adopted, recognises

_OPTIONS = {
    "dim", "codebook_size", "num_codebooks", "sample_minimization_weight",
    "batch_maximization_weight", "token_factorization", "factorized_bits",
}  # fmt: skip


class QuantizerRunner:
    """The first channel is the least significant bit; the temperature is always 0.01."""

    name = "Open-MAGVIT2 LFQ"

    def recognise(self, case: Case) -> bool:
        keys = set(case.config or {})
        if case.files or not keys & {"dim", "codebook_size"}:
            return False
        source = str(case.meta.get("source", {}).get("class", ""))
        ours = source.endswith("lookup_free_quantize.LFQ")
        return ours or "sample_minimization_weight" in keys

    def run(self, case: Case) -> Mapping[str, Tensor]:
        config = dict(case.config or {})
        unknown = set(config) - _OPTIONS
        if unknown:
            known = ", ".join(sorted(_OPTIONS))
            raise ForeignError(f"{self.name}: unknown options {sorted(unknown)}; known: {known}")
        size = config.get("codebook_size") or 2 ** config["dim"]
        bits = int(size).bit_length() - 1
        sample = float(config.get("sample_minimization_weight", 1.0))
        batch = float(config.get("batch_maximization_weight", 1.0))
        # their loss is sample * E H - batch * H E, put together below
        quantizer = LookupFreeQuantizer(bits, first="least", entropy=1.0, commitment=0.0).train()
        x = case.inputs["x"].clone().requires_grad_()
        parts = torch.split(x, bits, dim=1)
        found = [quantizer(part) for part in parts]
        quantized = torch.cat([each.codes for each in found], dim=1)
        tokens = torch.stack([each.tokens for each in found], dim=-1)  # (B, *space, books)
        flat = torch.cat([part.movedim(1, -1).reshape(-1, bits) for part in parts])
        sure, spread = quantizer.entropies(flat)  # over all codebooks' rows together
        loss = sample * sure - batch * spread
        commit = (x - quantized.detach()).square().mean()
        through = (quantized * case.inputs["upstream_grad"]).sum()
        out = {"quantized": quantized, "indices": tokens.flatten()}
        listed = tokens.flatten(1, -2)  # (B, positions, books)
        out["decoded"] = quantizer.lookup(listed).movedim(1, -1).flatten(-2)
        out |= {"train.quantized": quantized, "train.indices": tokens.flatten()}
        out["train.entropy_aux_loss"] = loss.reshape(1)
        out["train.per_sample_entropy"] = sure.reshape(1)
        out["train.codebook_entropy"] = spread.reshape(1)
        out["train.commitment"] = commit.reshape(1)
        for name, of in (("aux", loss), ("commit", commit), ("through", through)):
            (out[f"train.grad_{name}_x"],) = torch.autograd.grad(of, x, retain_graph=True)
        if config.get("token_factorization"):
            out |= _factored(tokens.flatten(), config, case)
        return out


def _factored(tokens: Tensor, config: Mapping[str, object], case: Case) -> dict[str, Tensor]:
    """The token in two, by whatever names the case has for them: first the first bits."""
    first = int(config.get("factorized_bits", [9, 9])[0])  # type: ignore[index]
    low, high = tokens % 2**first, tokens // 2**first
    names = [name for name in case.outputs if name.startswith("indices")]
    later = ("post", "second", "1", "high", "_b")
    return {name: high if name.endswith(later) else low for name in names if name != "indices"}


class TokenizerRunner:
    """The whole LFQGAN; `ema.` outputs are of the averaged weights."""

    name = "open-magvit2"

    def recognise(self, case: Case) -> bool:
        return recognises(case, self.name)

    def run(self, case: Case) -> Mapping[str, Tensor]:
        foreign = case.checkpoint()
        raw = replace(foreign, keys=_plain(foreign.keys), _tensors=_plain(foreign.tensors()))
        out = self.outputs(case, raw)
        if any(name.startswith("ema.") for name in case.outputs):
            out |= {f"ema.{name}": value for name, value in self.outputs(case, foreign).items()}
        return out

    def outputs(self, case: Case, foreign: Foreign) -> dict[str, Tensor]:
        _, net = adopted(foreign)
        with torch.no_grad():
            latents = net.latents(case.inputs["x"])
            quantized = net.quantize(latents)
            looked_up = net.lookup(quantized.tokens)
            return {
                "latents": latents,
                "indices": quantized.tokens,
                "z_q": quantized.codes,
                "codebook_entry": looked_up,
                "reconstruction": net.decode(quantized.codes),
                "reconstruction_from_indices": net.decode(looked_up),
            }


def _plain(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if not key.startswith("model_ema.")}


RUNNERS = [QuantizerRunner(), TokenizerRunner()]
