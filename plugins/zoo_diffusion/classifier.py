"""The family `classifier`: networks that tell the label of a noisy picture, as parts of diffusion models.

    p(y | x_t),   x_t = alpha_t x_0 + sigma_t e

A diffusion model with such a part samples towards a label by adding the gradient of log p(y | x_t) to its score
(Dhariwal and Nichol, 2021, arXiv:2105.05233, section 4). It makes no pictures, encodes none and gives no density: of
the hooks it has `build`, and for the workshop `objectives` and `adopt`. `model.net(x_t, t)` gives logits (B, classes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import hookimpl

if TYPE_CHECKING:
    from zoo.adoption import Adoption
    from zoo.train.objective import Objective
    from zoo_diffusion.noisy import NoisyClassifier


@hookimpl
def build(config: Mapping[str, Any]) -> NoisyClassifier:
    """Of {net: `NoisyClassifier`'s options, process: `zoo.nn.diffusion.Process`'s, classes}.

    The process is the one its pictures are noised by, and t is what a net of that process is told. Without one (a
    published classifier that came without its flags) it is not known, and no model's is held against it.
    """
    from zoo.nn.diffusion import Process
    from zoo_diffusion.noisy import NoisyClassifier

    given = dict(config)
    options, said = dict(given.pop("net")), given.pop("process", None)
    process = None if said is None else Process(**said)
    classes = given.pop("classes", options.get("classes"))
    if given:
        raise TypeError(f"a classifier's config has net, process and classes, not {sorted(given)}")
    if options.setdefault("classes", classes) != classes:
        raise ValueError(f"classes is {classes}, and of the net {options['classes']}")
    return NoisyClassifier(**options, process=process)


@hookimpl
def objectives(net: NoisyClassifier, recipe: Mapping[str, Any]) -> Sequence[Objective]:
    """One: the cross-entropy at uniformly drawn times; `zoo_diffusion.recognising.Weights` reads [objective]."""
    from zoo_diffusion import recognising

    return recognising.objectives(net, recipe)


@hookimpl
def adopt(keys: Mapping[str, tuple[int, ...]], config: Mapping[str, Any] | None) -> Adoption | None:
    """guided-diffusion's classifiers."""
    from zoo_diffusion.layouts import _classifier

    return _classifier.adopt(keys, config)
