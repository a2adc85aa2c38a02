"""Samples to be measured: drawn in batches, over all labels alike where a model has labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.errors import Unsupported

if TYPE_CHECKING:
    from zoo.images import Images
    from zoo.model import Model


def drawn(model: Model, count: int, seed: int, first: int = 0, **options: Any) -> Images:
    """`count` samples of a batch whose first is sample number `first` of all, drawn by `options`.

    A model of K labels (`classes: K` in its card's config, `condition` among its family's hooks)
    is asked for the label (first + i) mod K, so that each label is drawn as often as any other; one
    that was already asked for a label keeps it. Raises Unsupported for a model that does not
    sample, naming families that do.
    """
    model.hooks.need("sample")
    classes = model.card.config.get("classes")
    if classes and "label" not in model.request:
        if "condition" not in model.hooks.hooks:
            raise Unsupported(
                f"{model.name} has {classes} classes in its config, and its family "
                f"{model.family!r} takes no label (it has no `condition`), so samples cannot be "
                "spread over them."
            )
        model = model.condition(label=[(first + index) % classes for index in range(count)])
    return model.sample(count, seed=seed, **options)
