"""The six things a family of generative image models can do, and two more for the workshop.

A family is a module (or an object) that implements `build` and any of the others with
`@zoo.hookimpl`. Hooks hold no state: the network comes in as `net`, randomness as `generator`.
Letters, used in every shape below:

    B          images in the batch
    C, H, W    channels, height, width: the card's `image`
    *Z         the shape of one latent: the card's `latent`

Images are float tensors in [-1, 1]. Tokens are integer (int64) latents. Densities are natural
logarithms (nats). What `condition` returns is opaque to the core and is handed back unchanged as
`cond`; `cond` is None where the user asked for nothing. Image i of a batch depends on (seed, i)
alone: draw with `zoo.rng`, never from the global generator. The generator lives on the CPU, so that
a seed means the same picture on every device.

Every hook is `firstresult`: a family has one answer. Parameters are positional and have no defaults
(pluggy never passes others); an implementation takes as few of them as it needs. Answering None is
an error: a family that cannot do a thing leaves the hook out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Generator, Tensor, nn

    from zoo.adoption import Adoption
    from zoo.model import Model
    from zoo.train.objective import Objective

hookspec = pluggy.HookspecMarker("zoo")
hookimpl = pluggy.HookimplMarker("zoo")

T = TypeVar("T")


class Progress(Protocol):
    """Wraps a loop: `for step in progress(steps, total=None, label="")`.

    Shows a bar where someone watches.
    """

    def __call__(
        self, iterable: Iterable[T], total: int | None = None, label: str = ""
    ) -> Iterable[T]:
        """Give the items of `iterable` one by one."""
        ...


@hookspec(firstresult=True)
def build(config: Mapping[str, Any], parts: Mapping[str, Model]) -> nn.Module:  # type: ignore[empty-body]
    """Make the network, untrained, on whatever device is current ("meta" included).

    `config` is the card's, plain data, in which {file: NAME} has become what that JSON file beside
    the card holds (a vocabulary; see `zoo.config_files`); `parts` are the other models it is made with, by role (a
    DALL-E's "tokenizer"). A part is not a child of the net: its weights stay in its own file.
    Values that are not in the state dict (a non-persistent buffer) are made by
    `net.reset_buffers()`, which the core calls after loading. `net.roles` names parts that a card
    may lack and `zoo.compose` add. Raises TypeError for an unknown or missing key (calling the
    class with **config does).
    """


@hookspec(firstresult=True)
def condition(net: nn.Module, request: Mapping[str, Any], batch: int) -> Any:
    """Turn what a user asks for ({"label": 3}, {"text": "a house"}) into `cond` for `batch` images.

    A model of K labels takes them as `label`, 0 .. K - 1, and has `classes: K` in its card's config,
    by which `zoo.classify` knows how many there are.

    Raises zoo.RequestError naming the keys it does understand; `zoo.options.read` does.
    """


@hookspec(firstresult=True)
def encode(net: nn.Module, images: Tensor, cond: Any, generator: Generator | None) -> Tensor:  # type: ignore[empty-body]
    """Images (B, C, H, W) to latents (B, *Z). Without a generator: the mode, deterministic."""


@hookspec(firstresult=True)
def decode(net: nn.Module, latents: Tensor, cond: Any) -> Tensor:  # type: ignore[empty-body]
    """Latents (B, *Z) to images (B, C, H, W), deterministic."""


@hookspec(firstresult=True)
def sample(  # type: ignore[empty-body]
    net: nn.Module,
    count: int,
    cond: Any,
    options: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """Draw `count` images (count, C, H, W), all randomness from `generator`.

    `options` are this family's own (steps, guidance, temperature); the card's `sampling` holds the
    values behind its metrics. Raises zoo.RequestError for an unknown option; `zoo.options.read`
    does. Loop inside: a hook call is no place for a single step.
    """


@hookspec(firstresult=True)
def log_prob(net: nn.Module, images: Tensor, cond: Any, generator: Generator) -> Tensor:  # type: ignore[empty-body]
    """Log-probability (B,) of each image in nats; the card says of what kind and over what.

    Where a request changes that, `net.density_given(request)` says (kind, over); a net that knows
    what the number is the sum of gives it by `net.log_prob_terms(images, cond, generator)`, one that
    predicts its condition as well that probability (B,) by `net.log_prob_of_request(cond)`.
    """


@hookspec(firstresult=True)
def objectives(net: nn.Module, recipe: Mapping[str, Any]) -> Sequence[Objective]:  # type: ignore[empty-body]
    """Workshop: what to minimise, over which parameters, in which order.

    One objective for a VAE, two for a GAN.
    """


@hookspec(firstresult=True)
def adopt(keys: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None) -> Adoption | None:
    """Workshop: "this foreign checkpoint is mine", with our config and how its keys are renamed.

    `keys` are the names and shapes of its tensors, `config` its own configuration file, if it came
    with one. The one hook that may answer None: "not mine".
    """


HOOKS = ("build", "condition", "encode", "decode", "sample", "log_prob")  # what a model does
WORKSHOP = ("objectives", "adopt")
