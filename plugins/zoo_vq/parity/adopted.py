"""A case's net, adopted as a user's file would be."""

from __future__ import annotations

import torch

from zoo import weights
from zoo.adoption import Adoption
from zoo.errors import ForeignError
from zoo.foreign import Foreign
from zoo.foreign_models import renamed
from zoo.parity import Case, upcast
from zoo_vq import layouts
from zoo_vq.net import Tokenizer, tokenizer


def recognises(case: Case, layout: str, name: str | None = None) -> bool:
    """Whether the case's weights file (of that name, or the only one) is of this layout."""
    if name is None and len(case.files) != 1:
        return False
    foreign = case.checkpoint(name)
    adoption = layouts.adopt(foreign.keys, foreign.config)
    return adoption is not None and adoption.layout == layout


def adopted(foreign: Foreign) -> tuple[Adoption, Tokenizer]:
    """The net in evaluation mode, float32; every tensor is placed, or dropped by name."""
    adoption = layouts.adopt(foreign.keys, foreign.config)
    if adoption is None:
        raise ForeignError(f"no layout recognises {foreign.path}")
    with torch.device("meta"):
        net = tokenizer(adoption.config)
    where = str(foreign.path)
    state = {key: upcast(value) for key, value in renamed(foreign, adoption, where).items()}
    weights.assign(net, state, where)
    return adoption, net.eval()
