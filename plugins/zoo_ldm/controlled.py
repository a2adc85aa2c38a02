"""A ControlNet and the model that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Generator, Tensor, nn

from zoo.errors import RequestError, Unsupported
from zoo.hookspecs import Progress
from zoo.model import Model
from zoo.nn.control import ControlNet
from zoo.nn.control.base import named, same_base
from zoo.nn.control.request import KINDS
from zoo.nn.unet import UNet


class ControlModel(nn.Module):
    """A ControlNet, of one kind of hint, and its base.

    Args:
        control: the net.
        kind: of `zoo.nn.control.request.KINDS`: what its hints are.
        base: the model it was trained with; not a child of this module. None for a stranger's.
        name: what a card's `base` says of it: `model` (name@version) and `weights` (their sha256).

    Raises ValueError for a kind that does not exist.
    """

    def __init__(
        self,
        control: ControlNet,
        kind: str,
        base: Model | None = None,
        name: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"unknown kind of hint {kind!r}; there are {', '.join(KINDS)}")
        self.control, self.kind = control, kind
        self._base = (base,)  # in a tuple, so that its weights are not this module's
        self.recorded = {} if name is None else {"base": dict(name)}

    @property
    def base(self) -> Model:
        """The model that is controlled. Raises Unsupported for a stranger's ControlNet, loaded alone."""
        base = self._base[0]
        if base is None:
            raise Unsupported(
                "This ControlNet came without the model that it controls: load that and give it this one, "
                "model.condition(hint=..., control=...)."
            )
        return base

    def asked(self, request: Mapping[str, Any], batch: int) -> Any:
        """What the base makes of the request and this net."""
        base = self.base
        if request.get(self.kind) is None:
            raise RequestError(
                f"This ControlNet takes {self.kind}: condition({self.kind}=picture)."
            )
        asked = {**base.request, **request, "control": self}
        return base.hooks.call("condition", net=base.net, request=asked, batch=batch)

    def drawn(
        self,
        count: int,
        cond: Any,
        options: Mapping[str, Any],
        generator: Generator,
        progress: Progress,
    ) -> Tensor:
        """`count` pictures of the base. Raises RequestError without a hint."""
        base = self.base
        if cond is None:
            raise RequestError(
                f"This ControlNet draws from {self.kind}: condition({self.kind}=picture)."
            )
        drawn: Tensor = base.hooks.call(
            "sample", net=base.net, count=count, cond=cond, options={**base.card.sampling, **options},
            generator=generator, progress=progress,
        )  # fmt: skip
        return drawn


def control_model(config: Mapping[str, Any], parts: Mapping[str, Model]) -> ControlModel:
    """The net of a configuration.

        kind   of its hints
        hint   their channels; `hint_widths` and `bgr` of `zoo.nn.control.Hint`
        net    options of the U-Net whose encoder half it is; the base's if not said
        base   {model, weights} of the base it was trained with; written when it is trained

    Raises TypeError for an unknown or missing key, ValueError for an impossible value, CardError for another base.
    """
    return _built(parts=parts, **config)


def _built(
    parts: Mapping[str, Model],
    kind: str,
    hint: int = 3,
    hint_widths: Sequence[int] = (16, 32, 96, 256),
    bgr: bool = False,
    net: Mapping[str, Any] | None = None,
    base: Mapping[str, str] | None = None,
) -> ControlModel:
    unknown = sorted(set(parts) - {"base"})
    if unknown:
        raise ValueError(f"a ControlNet has the part base, not {unknown}")
    of = parts.get("base")
    if of is None and net is None:
        raise ValueError(
            "a ControlNet needs the part base, or `net`, the options of the base's U-Net"
        )
    network = None if of is None else getattr(of.net, "network", None)
    if of is not None and not isinstance(network, UNet):
        raise ValueError(
            f"a ControlNet copies half of a U-Net; the network of {of.card.title} is {type(network).__name__}"
        )
    options = dict(net if net is not None else of.card.config["net"])  # type: ignore[union-attr]
    if options.pop("kind", "unet") != "unet":
        raise ValueError("a ControlNet copies half of a U-Net: net.kind is 'unet'")
    control = ControlNet(options, hint, hint_widths, bgr)
    if network is not None and not control.middle.weight.is_meta:
        control.copy(network)
    if of is None:
        return ControlModel(control, kind)
    if base is not None:
        same_base(f"this ControlNet of {kind}", base, of.card)
    return ControlModel(control, kind, of, base or named(of.card))
