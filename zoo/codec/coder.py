"""The net that drives the coder: a float64 copy of the model's, and what must match to decode.

Probabilities must come out alike on both sides, so the codec runs the net in float64, whose
rounding is far below the grid that probabilities are put on (`zoo.codec.intervals`). The values of
its weights have a fingerprint: weights loaded in half precision, or changed since they were loaded,
are told before anything is decoded with them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.codec.intervals import Array, Grid
from zoo.errors import PluginError, RequestError, Unsupported, ZooError, listed
from zoo.images import to_uint8
from zoo.nn.coding import Autoregressive, LatentVariable

if TYPE_CHECKING:
    from zoo.card import Card
    from zoo.model import Model

AUTOREGRESSIVE, LATENT = 1, 2
MOST = 1 << 23  # numbers in the tables of one batch: 64 MiB


@dataclass(frozen=True, eq=False)
class Coder:
    """A model made ready to code: `net` is a float64 copy, `kind` AUTOREGRESSIVE or LATENT."""

    model: Model
    net: Any
    kind: int
    grid: Grid

    @classmethod
    def of(cls, model: Model) -> Coder:
        """Make a model ready.

        Raises Unsupported for a model without conditional probabilities, naming models that have
        them; RequestError for a condition that cannot be written down.
        """
        kind = kind_of(model.net)
        if kind is None:
            raise Unsupported(
                f"{model.card.title} (family {model.family}) gives no conditional probabilities to "
                f"code with (zoo.nn.coding: Autoregressive or LatentVariable). Models here that "
                f"do: {listed(able())}."
            )
        request_text(model)
        device = "cpu" if model.device.type == "mps" else model.device  # mps has no float64
        net = copy.deepcopy(model.net).to(device=device, dtype=torch.float64).eval()
        made = cls(model, net, kind, Grid.of(int(getattr(net, "alphabet", 0))))
        _told(made)
        return made

    @property
    def card(self) -> Card:
        """The model's."""
        return self.model.card

    @property
    def device(self) -> torch.device:
        """Where the copy is."""
        every = chain(self.net.parameters(), self.net.buffers())
        return next((each.device for each in every), torch.device("cpu"))

    @property
    def binary(self) -> bool:
        """Whether the model knows black and white alone."""
        return self.card.log_prob is not None and self.card.log_prob.over == "binary pixels"

    @property
    def who(self) -> str:
        """Whom to blame for tables that are none."""
        return f"{self.model.hooks.distribution}: {self.card.title}"

    @property
    def length(self) -> int:
        """T, symbols a picture."""
        return int(self.net.length)

    @property
    def latents(self) -> int:
        """D, latent dimensions; 0 for an autoregressive net."""
        return int(self.net.latents) if self.kind == LATENT else 0

    def cond(self, batch: int) -> Any:
        """What the net takes for the model's request."""
        if not self.model.request:
            return None
        return self.model.hooks.call(
            "condition", net=self.net, request=self.model.request, batch=batch
        )

    def parts(self, count: int, batch: int) -> Iterator[slice]:
        """Slices of `count` pictures for one call of the net each: `batch`, or fewer if wide."""
        size = max(1, min(batch, MOST // (self.length * self.grid.alphabet)))
        for start in range(0, count, size):
            yield slice(start, min(count, start + size))

    def float64(self, images: Tensor) -> Tensor:
        """8-bit pictures (B, C, H, W) as the net takes them."""
        return images.to(self.device, torch.float64).div(127.5).sub(1)

    def pictures(self, symbols: Array) -> Tensor:
        """Symbols (B, T) to 8-bit pictures (B, C, H, W), on the CPU."""
        with torch.no_grad():
            given = torch.from_numpy(np.ascontiguousarray(symbols)).to(self.device)
            return to_uint8(self.net.pictures(given)).cpu()

    @cached_property
    def fingerprint(self) -> bytes:
        """8 bytes of the values of the weights, in float64, the same in every process."""
        digest = blake2b(digest_size=8)
        for name, value in sorted(self.net.state_dict().items()):
            digest.update(f"{name} {tuple(value.shape)} ".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.digest()


def kind_of(net: nn.Module) -> int | None:
    """AUTOREGRESSIVE, LATENT, or None for a net that cannot drive a coder."""
    if isinstance(net, Autoregressive):
        return AUTOREGRESSIVE
    return LATENT if isinstance(net, LatentVariable) else None


def able() -> list[str]:
    """Names of the models on this machine whose nets can drive a coder of pixels."""
    from zoo import hub, plugins
    from zoo.model import build

    found = set()
    for each in hub.installed([]):
        if each.card.log_prob is None or each.card.log_prob.over == "tokens" or each.card.parts:
            continue
        try:
            net = build(plugins.family(each.card.family), each.card, {})
        except ZooError:
            continue
        if kind_of(net) is not None:
            found.add(each.card.name)
    return sorted(found)


def request_text(model: Model) -> str:
    """The model's request as JSON, "" for none.

    Raises RequestError for what is not one text, number or truth value a key: all pictures of an
    archive share the condition, and it is written into the archive.
    """
    for key, value in model.request.items():
        if not isinstance(value, str | int | float | bool):
            raise RequestError(
                f"The codec takes one condition for all pictures, as text or a number; {key} is "
                f"{type(value).__name__}. Code the pictures of each condition into an archive of "
                "their own."
            )
    return json.dumps(dict(model.request), sort_keys=True) if model.request else ""


def _told(coder: Coder) -> None:
    """Raise PluginError where net and card contradict each other."""
    shape = coder.card.image
    if coder.length < 1 or coder.length > 64 * prod(shape):
        raise PluginError(f"{coder.who}: length {coder.length} of pictures {shape}.")
