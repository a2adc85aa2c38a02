"""A case's network, adopted as a user's file would be."""

from __future__ import annotations

from torch import nn

from zoo import weights
from zoo.adoption import Adoption
from zoo.bare import shapes_only
from zoo.errors import ForeignError
from zoo.foreign_models import renamed
from zoo.parity import Case, upcast
from zoo_diffusion import layouts
from zoo_diffusion.networks import network


def found(case: Case) -> Adoption | None:
    """What the layouts say of the case's weights file, if it has one alone."""
    if len(case.files) != 1:
        return None
    foreign = case.checkpoint()
    return layouts.adopt(foreign.keys, foreign.config)


def adopted(case: Case) -> nn.Module:
    """The network in evaluation mode, float32; every tensor is placed, or dropped by name."""
    adoption = found(case)
    if adoption is None:
        raise ForeignError(f"no layout recognises {case.folder}")
    with shapes_only():
        net = network(adoption.config["net"])
    return laid(case, adoption, net)


def laid(case: Case, adoption: Adoption, net: nn.Module) -> nn.Module:
    """The case's weights in `net`, which was built on the meta device."""
    where = str(case.folder)
    state = {k: upcast(v) for k, v in renamed(case.checkpoint(), adoption, where).items()}
    weights.assign(net, state, where)
    return net.eval()
