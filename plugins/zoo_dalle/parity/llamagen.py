"""LlamaGen's GPT: logits by teacher forcing, and tokens drawn greedily with guidance and without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.parity import Case
from zoo_dalle.asking import Asked
from zoo_dalle.net import DalleModel
from zoo_dalle.parity.adopted import adopted, recognises


class LlamaGenRunner:
    """Class ids `cond` (B,), or captions' features (B, L, D), and tokens (B, T)."""

    name = "llamagen-gpt"

    def recognise(self, case: Case) -> bool:
        return recognises(case, self.name)

    def run(self, case: Case) -> Mapping[str, Tensor]:
        net = cast(DalleModel, adopted(case).net)
        tokens, given = case.inputs["tokens"], case.inputs["cond"]
        asked = Asked(given[:, None] if given.ndim == 1 else given[:, : net.prefix])
        with torch.no_grad():
            logits = net.logits(tokens, asked)
            cosine = cast(Tensor, net.transformer.cosine)
            sine = cast(Tensor, net.transformer.sine)
            turned = torch.stack([cosine[:, 0::2], sine[:, 0::2]], -1)
            hidden = net.hidden(tokens, asked)
            out = {
                "logits": logits,
                "loss": F.cross_entropy(logits.flatten(0, 1), tokens.flatten()).view(1),
                "logits_with_condition_positions": net.image_logits(hidden),
                "freqs_cis": turned,
            }
            for name, wanted in case.outputs.items():
                if name.startswith("generated"):
                    out[name] = _drawn(net, case, asked, name, wanted.shape[1])
        return out


def _drawn(net: DalleModel, case: Case, asked: Asked, name: str, steps: int) -> Tensor:
    """Greedy tokens (B, steps); the name of the output says how strong guidance is and where it ends."""
    words = {
        each.rstrip("0123456789."): each.lstrip("abcdefghijklmnopqrstuvwxyz")
        for each in name.split("_")
    }
    scale, last = float(words.get("cfg") or 1), int(words.get("interval") or -1)
    batch = len(case.inputs["cond"])
    walks = [net.walk(batch, asked)]
    if scale > 1:
        null = case.inputs.get("null")
        bare = Asked(null[:, None]) if null is not None and null.ndim == 1 else None
        walks.append(net.walk(batch, bare))
    found = []
    for step in range(steps):
        logits = [net.image_logits(walk.hidden)[:, 0] for walk in walks]
        best = logits[0]
        if scale > 1 and (last < 0 or step - 1 <= last):
            best = logits[1] + (logits[0] - logits[1]) * scale
        found.append(best.argmax(-1))
        for walk in walks:
            walk.push(found[-1])
    return torch.stack(found, 1)


RUNNERS = [LlamaGenRunner()]
