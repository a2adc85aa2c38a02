"""taming's Net2NetTransformer: the first stage, the logits, and tokens drawn greedily.

The reference takes any row of tokens, of its condition's or the picture's vocabulary in any place. So the embedding,
the places and the head are read from the file as they are, whole; the blocks between them are the adopted model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.model import Model
from zoo.parity import Case
from zoo_dalle.layouts import taming
from zoo_dalle.net import DalleModel
from zoo_dalle.parity.adopted import adopted, recognises
from zoo_dalle.transformer import Transformer


class Stream:
    """minGPT on rows of tokens."""

    def __init__(self, case: Case, net: DalleModel, prefix: int) -> None:
        state = case.weights()
        self.table, self.head = (
            state["transformer.tok_emb.weight"],
            state["transformer.head.weight"],
        )
        self.places = state["transformer.pos_emb"][0]  # (block, C)
        self.net = Transformer(net.transformer.shape, prefix, (1, len(self.places) - prefix))
        self.net.load_state_dict(net.transformer.state_dict())
        self.net.eval()

    def logits(self, ids: Tensor) -> Tensor:
        """(B, n) to (B, n, V)."""
        x = self.table[ids] + self.places[: ids.shape[1]]
        return F.linear(self.net(x), self.head)

    def stepped(self, ids: Tensor, first: int) -> Tensor:
        """The last position's logits (B, 1, V), by what was remembered of the `first` before it."""
        x = self.table[ids] + self.places[: ids.shape[1]]
        memory = self.net.memory(len(ids))
        self.net.extend(x[:, :first], memory)
        return F.linear(self.net.extend(x[:, first:], memory), self.head)

    def greedy(self, begun: Tensor, steps: int) -> Tensor:
        """(B, n) to (B, n + steps), each the likeliest."""
        for _ in range(steps):
            begun = torch.cat([begun, self.logits(begun)[:, -1].argmax(-1, keepdim=True)], 1)
        return begun


class TamingRunner:
    """Cases with pictures `x`, tokens, and a condition `c` where the model has one."""

    name = "taming-net2net"

    def recognise(self, case: Case) -> bool:
        return recognises(case, self.name)

    def run(self, case: Case) -> Mapping[str, Tensor]:
        model = adopted(case)
        net = cast(DalleModel, model.net)
        with torch.no_grad():
            first: Any = model.parts["tokenizer"].net
            latents = first.latents(case.inputs["x"])
            quantized = first.quantize(latents)
            out = {"pre_quant": latents, "quant_z": quantized.codes}
            out["decoded_z"] = first.decode(quantized.codes)
            z = quantized.tokens.flatten(1)
            c = condition(case, model, len(z))
            stream = Stream(case, net, c.shape[1])
            out |= {"z_indices": z, "c_indices": c, "forward_target": z}
            forward = stream.logits(torch.cat([c, z], 1)[:, :-1])[:, c.shape[1] - 1 :]
            out["forward_logits"] = forward
            out["nll"] = F.cross_entropy(forward.flatten(0, 1), z.flatten()).view(1)
            if "tokens" in case.inputs:
                tokens = case.inputs["tokens"]
                out["logits"] = stream.logits(tokens)
                out["cached_logits_step"] = stream.stepped(tokens[:, :7], 6)
            wanted = case.outputs.get("greedy_tokens")
            if wanted is not None:
                begun = torch.cat([c, z[:, :4]], 1)
                found = stream.greedy(begun, wanted.shape[1] - 4)
                out["greedy_tokens"] = found[:, c.shape[1] :]
        return out


def condition(case: Case, model: Model, batch: int) -> Tensor:
    """The condition's tokens (B, P)."""
    params = taming.options(case.config)
    net = cast(DalleModel, model.net)
    given: Any = net.given
    if given.asks == "":
        begin = int(params.get("sos_token") or 0)
        return torch.full((batch, 1), begin)
    asked = next(
        (case.inputs[name] for name in ("c", "cond", "condition") if name in case.inputs), None
    )
    if asked is None:
        return cast(Tensor, given.nothing(batch))
    if given.asks == "label":
        return asked.view(batch, 1)
    if not asked.is_floating_point():
        return asked.flatten(1)
    small = int(params.get("downsample_cond_size") or -1)
    if small > 0:
        asked = F.interpolate(asked, size=(small, small))
    if given.coordinates:
        cells = F.interpolate(asked, scale_factor=1 / given.coordinates, mode="area")
        codes = int(params["cond_stage_config"]["params"]["n_embed"])
        return (codes * cells.clamp(0, 1)).round().long().flatten(1)
    part: Any = model.parts[given.part].net
    return cast(Tensor, part.tokens(asked)).flatten(1)


RUNNERS = [TamingRunner()]
