"""What a request says of ControlNets: the hints by kind, which nets, how much each weighs and when it speaks.

    model.condition(edges=hint, control="controlnet-edges", weight=0.8, interval=(0, 0.5))
    model.condition(edges=a, semantic=b, control=["controlnet-edges", "controlnet-semantic"], weight=[1, 0.5])

A stretch is in shares of the schedule, 0 where sampling begins (pure noise) and 1 where it ends. Each net makes its
features of its hint here, once for all steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo import options
from zoo.errors import RequestError, listed
from zoo.images import Images
from zoo.nn.control.net import Control, ControlNet, Controls
from zoo.nn.diffusion import Process
from zoo.nn.unet import UNet

KINDS = ("edges", "sketch", "semantic", "pose", "hint")  # `hint`: of a net that does not say
LINES = ("edges", "sketch", "pose")  # white on black: mostly -1
MOST_LIT = 0.75  # of a hint; HED, the widest, lights 0.2 to 0.5 of a picture, dark strokes on paper leave 0.9
REQUEST: dict[str, Any] = {
    "control": None,
    "weight": None,
    "interval": None,
    **dict.fromkeys(KINDS),
}


class Base(Protocol):
    """What is controlled: a model that diffuses (C, h, w) by a network."""

    network: nn.Module
    process: Process

    @property
    def diffused(self) -> tuple[int, ...]:
        """(C, h, w) of what is diffused."""
        ...


def controls(
    wanted: SimpleNamespace, base: Base, image: Sequence[int], batch: int
) -> Controls | None:
    """The ControlNets that a request (of at least REQUEST's keys) asks for; pictures are `image` (C, H, W).

    Raises RequestError for what does not fit, stating both sides.
    """
    given: Mapping[str, Any] = {
        kind: hint for kind in KINDS if (hint := getattr(wanted, kind)) is not None
    }
    if wanted.control is None:
        if given or wanted.weight is not None or wanted.interval is not None:
            said = [*given, *(k for k in ("weight", "interval") if getattr(wanted, k) is not None)]
            raise RequestError(
                f"{listed(said)}: say which ControlNet is meant, control='controlnet-edges'."
            )
        return None
    if not isinstance(base.network, UNet):
        raise RequestError(
            f"A ControlNet speaks to a U-Net's maps, and this model's network is {type(base.network).__name__}."
        )
    several = isinstance(wanted.control, list | tuple)
    nets = [_net(each) for each in (wanted.control if several else [wanted.control])]
    weights = _each(wanted.weight, 1.0, len(nets), "weight", 0)
    stretches = _each(wanted.interval, (0.0, 1.0), len(nets), "interval", 1)
    hints = _hints([net.kind for net in nets], given)
    found = []
    for net, hint, weight, stretch in zip(nets, hints, weights, stretches, strict=True):
        features = _features(net, hint, base, image, batch)
        found.append(Control(net.control, features, float(weight), *_times(base.process, stretch)))
    return Controls(tuple(found))


def _net(given: Any) -> Any:
    net = getattr(given, "net", given)
    if not isinstance(getattr(net, "control", None), ControlNet):
        raise RequestError(
            f"control takes ControlNets, by name or loaded; got {getattr(given, 'card', given)!r:.60}."
        )
    return net


def _each(given: Any, usual: Any, count: int, what: str, depth: int) -> list[Any]:
    """One setting for all nets, or one for each."""
    if given is None:
        return [usual] * count
    inner = given[0] if isinstance(given, list | tuple) and given else None
    several = isinstance(given, list | tuple) if depth == 0 else isinstance(inner, list | tuple)
    each = list(given) if several else [given] * count
    if len(each) != count:
        raise RequestError(f"{what} has {len(each)} entries for {count} ControlNets.")
    for one in each:
        numbers = one if depth else [one]
        right = isinstance(numbers, list | tuple) and len(numbers) == 1 + depth
        if not right or not all(isinstance(x, int | float) for x in numbers):
            raise RequestError(
                f"{what} is {'(from, to) in 0 .. 1' if depth else 'a number'}, or a list of one a ControlNet; "
                f"got {given!r}."
            )
    return each


def _hints(kinds: Sequence[str], given: Mapping[str, Any]) -> list[Any]:
    """The hint of each net; of several nets of a kind, in their order."""
    odd = sorted(set(given) - set(kinds))
    if odd or set(kinds) - set(given):
        raise RequestError(
            f"The ControlNets take {listed(sorted(set(kinds)))}, and {listed(sorted(given))} was given."
        )
    left: dict[str, list[Any]] = {}
    for kind, hint in given.items():
        alike = kinds.count(kind)
        if alike > 1 and (not isinstance(hint, list | tuple) or len(hint) != alike):
            raise RequestError(
                f"{alike} ControlNets take {kind}: give a list of as many hints, {kind}=[...]."
            )
        left[kind] = list(hint) if alike > 1 else [hint]
    return [left[kind].pop(0) for kind in kinds]


def _features(net: Any, hint: Any, base: Base, image: Sequence[int], batch: int) -> Tensor:
    like, control = next(base.network.parameters()), net.control
    own = next(control.parameters())
    if (own.dtype, own.device) != (like.dtype, like.device):
        raise RequestError(
            f"The ControlNet of {net.kind} is {own.dtype} on {own.device}, this model {like.dtype} on {like.device}: "
            "move one by .to(device, dtype), or give the ControlNet by name, which loads it as the model is."
        )
    channels = control.hint.channels
    read = Images.read(hint, channels).tensor.to(like.device, like.dtype)
    if read.shape[1] == 1 and channels == 3:
        read = read.expand(-1, 3, -1, -1)
    if tuple(read.shape[1:]) != (channels, *image[1:]):
        raise RequestError(
            f"{net.kind} must be ({channels}, {image[1]}, {image[2]}) (C, H, W), for pictures of this size, is "
            f"{tuple(read.shape[1:])}."
        )
    if net.kind in LINES:
        _white_on_black(read, net.kind)
    network: Any = base.network
    patch, grid = network.descent.patch, base.diffused[1:]
    sides = tuple(side // patch for side in grid)
    made = tuple(side // control.hint.factor for side in image[1:])
    theirs, ours = base.network.state_dict(), control.net.state_dict()
    if made != sides or any(k not in theirs or theirs[k].shape != ours[k].shape for k in ours):
        raise RequestError(
            f"The ControlNet copies the encoder half of another U-Net: widths {control.net.widths} with maps of "
            f"{made}, this model's has {base.network.widths} with maps of {sides}."
        )
    each = options.one_each(tuple((read + 1) / 2), batch, net.kind)
    with torch.no_grad():
        if len(read) == 1:
            out: Tensor = control.hint(each[0][None]).expand(batch, -1, -1, -1)
        else:
            out = control.hint(torch.stack(each))
    return out


def _white_on_black(hint: Tensor, kind: str) -> None:
    """Refuse lines drawn the other way round, or told in [0, 1]."""
    low, high = (float(each) for each in hint.aminmax())
    if low >= 0:
        raise RequestError(
            f"{kind} must be in [-1, 1], -1 (black) where there is nothing; these are in [{low:g}, {high:g}], so "
            f"all of it would be a line. Of numbers in [0, 1] give 2 * {kind} - 1."
        )
    lit = float((hint.amax(1) > 0).float().mean((1, 2)).max())
    if lit > MOST_LIT:
        raise RequestError(
            f"{kind} must be lines of white on black, and {lit:.0%} of this hint is white. Of dark strokes on white "
            f'paper `zoo annotate sketch` (zoo.annotate.annotate("sketch", picture)) makes the hint; of lines drawn '
            f"the other way round give -{kind}."
        )


def _times(process: Process, stretch: Sequence[float]) -> tuple[float, float]:
    """A stretch of the schedule as the times that the net is told, the first and the last."""
    begin, end = stretch
    if not 0 <= begin < end <= 1:
        raise RequestError(f"interval is (from, to), 0 <= from < to <= 1; got {tuple(stretch)}.")

    high, low = process.level(process.last).time, process.level(process.first).time
    first, last = (high + share * (low - high) for share in stretch)
    return (inf if begin == 0 else first), (-inf if end == 1 else last)
