"""The family `controlnet`: a second encoder that tells a frozen U-Net what to draw, see `zoo.nn.control`.

A ControlNet belongs to one base model, its part `base`, of whatever family: it is given to that model,
`base.condition(edges=hint, control="controlnet-edges")`, or loaded alone and asked itself, which comes to the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import hookimpl

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from zoo.adoption import Adoption
    from zoo.hookspecs import Progress
    from zoo.model import Model
    from zoo.train.objective import Objective
    from zoo_ldm.controlled import ControlModel


@hookimpl
def build(config: Mapping[str, Any], parts: Mapping[str, Model]) -> ControlModel:
    """The net of a configuration, see `zoo_ldm.controlled.control_model`; with a part `base` a copy of its encoder."""
    from zoo_ldm.controlled import control_model

    return control_model(config, parts)


@hookimpl
def condition(net: ControlModel, request: Mapping[str, Any], batch: int) -> Any:
    """What the base is asked, and a hint of this net's kind."""
    return net.asked(request, batch)


@hookimpl
def sample(
    net: ControlModel,
    count: int,
    cond: Any,
    options: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """What the base draws, controlled; the options are the base's, on top of its card's."""
    return net.drawn(count, cond, options, generator, progress)


@hookimpl
def objectives(net: ControlModel, recipe: Mapping[str, Any]) -> Sequence[Objective]:
    """The base's own, with the base frozen and hints made from the training pictures."""
    from zoo_ldm import controlling

    return controlling.objectives(net, recipe)


@hookimpl
def adopt(keys: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None) -> Adoption | None:
    """Lllyasviel's ControlNets and diffusers'."""
    from zoo_ldm.layouts import _controlnet

    return _controlnet.adopt(keys, config)
