"""Text encoders: tokens to rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo import weights
from zoo.bare import shapes_only
from zoo.foreign import Foreign
from zoo.foreign_models import renamed
from zoo.parity import Case, Runner, upcast
from zoo_ldm.text import layouts
from zoo_ldm.text.transformer import TextTransformer, text_transformer


def laid_text(foreign: Foreign) -> TextTransformer:
    """The encoder in evaluation mode, float32; every tensor is placed, or dropped by name. No vocabulary."""
    adoption = layouts.adopt(foreign.keys, foreign.config)
    if adoption is None:
        raise ValueError(f"{foreign.path} holds no text encoder")
    with shapes_only():
        net = text_transformer({k: v for k, v in adoption.config.items() if k != "vocabulary"})
    where = str(foreign.path)
    state = {key: upcast(value) for key, value in renamed(foreign, adoption, where).items()}
    weights.assign(net, state, where)
    return net.eval()


@dataclass(frozen=True)
class TextRunner:
    """Cases of a text encoder alone."""

    name: str = "clip-text"

    def recognise(self, case: Case) -> bool:
        """By its inputs and the names in its file."""
        if "input_ids" not in case.inputs or len(case.files) != 1:
            return False
        foreign = case.checkpoint()
        return layouts.adopt(foreign.keys, foreign.config) is not None

    @torch.no_grad()
    def run(self, case: Case) -> Mapping[str, Tensor]:
        """Its outputs by name."""
        net, ids = laid_text(case.checkpoint()), case.inputs["input_ids"]
        rows = net(ids)
        made = {f"hidden_states.{i}": each for i, each in enumerate(net.states(ids))}
        return {**made, "last_hidden_state": rows, "pooler_output": net.pooled(rows, ids)}


RUNNERS: list[Runner] = [TextRunner()]
