"""DALL-E: one stream of tokens, what is asked for and then the picture.

    p(t | prefix) = prod_k p(t_k | prefix, t_1, ..., t_{k-1}),      picture = decode(t)

A causal transformer over the tokens of another model, the tokenizer (Ramesh et al., 2021, arXiv:2102.12092; Esser et
al., 2020, arXiv:2012.09841; Sun et al., 2024, arXiv:2406.06525). The prefix is a text, a class, another picture's
tokens or nothing. The family's page is README.md beside this file.
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
    from zoo_dalle.asking import Asked
    from zoo_dalle.clip import Clip
    from zoo_dalle.net import DalleModel


@hookimpl
def build(config: Mapping[str, Any], parts: Mapping[str, Model]) -> DalleModel | Clip:
    """The net of the card's config; see `zoo_dalle.making.dalle`, and `zoo_dalle.clip` for one that only judges."""
    if set(config) == {"clip"}:
        from zoo_dalle.clip import Clip

        return Clip(**config["clip"])
    from zoo_dalle.making import dalle

    return dalle(config, parts)


@hookimpl
def condition(net: DalleModel, request: Mapping[str, Any], batch: int) -> Asked:
    """`text`, `label`, or another picture's `tokens`, as the net takes; `prefix` and `rows`: see `zoo_dalle.asking`."""
    from zoo_dalle import asking

    return asking.asked(net, request, batch)


@hookimpl
def encode(net: DalleModel, images: Tensor) -> Tensor:
    """Pictures (B, C, H, W) to tokens (B, h, w) int64, by the tokenizer."""
    tokens = net.symbols(images)
    return tokens.view(len(tokens), *net.grid)


@hookimpl
def decode(net: DalleModel, latents: Tensor) -> Tensor:
    """Tokens (B, h, w) to pictures (B, C, H, W), by the tokenizer."""
    return net.pictures(latents.flatten(1))


@hookimpl
def sample(
    net: DalleModel,
    count: int,
    cond: Asked | None,
    options: Mapping[str, Any],
    generator: Generator,
    progress: Progress,
) -> Tensor:
    """Draw tokens one after the other and decode them; `zoo_dalle.sampling` says what the options are."""
    from zoo_dalle import sampling

    return sampling.sample(net, count, cond, options, generator, progress)


@hookimpl
def log_prob(net: DalleModel, images: Tensor, cond: Asked | None) -> Tensor:
    """Log P (B,) in nats, exact, of the picture's tokens given the condition."""
    return net.log_likelihood(net.symbols(images), cond)


@hookimpl
def objectives(net: DalleModel, recipe: Mapping[str, Any]) -> Sequence[Objective]:
    """One objective, -log p by teacher forcing: `zoo_dalle.training.Weights` reads the recipe's [objective]."""
    from zoo_dalle import training

    return training.objectives(net, recipe)


@hookimpl
def adopt(keys: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None) -> Adoption | None:
    """Which published token transformer these keys are, if one."""
    from zoo_dalle import layouts

    return layouts.adopt(keys, config)
