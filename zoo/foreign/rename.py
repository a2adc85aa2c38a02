"""From a stranger's names to ours: what an Adoption says, done to tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from torch import Tensor

from zoo.adoption import Adoption
from zoo.errors import ForeignError

TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "squeeze-conv": lambda x: x.flatten(1),
    "unsqueeze-conv": lambda x: x[:, :, None, None],
    "transpose": lambda x: x.t(),
    "hwio": lambda x: x.permute(3, 2, 0, 1),
    "flatten": lambda x: x.flatten(),
}


def dropped(keys: Iterable[str], adoption: Adoption) -> list[str]:
    """The foreign keys that the adoption leaves behind, by its patterns."""
    return [k for k in keys if any(fnmatchcase(k, pattern) for pattern in adoption.dropped)]


def renamed(tensors: Mapping[str, Tensor], adoption: Adoption) -> dict[str, Tensor]:
    """The tensors under our names and in our shapes, views of the given ones where that can be.

    Raises ForeignError for a key that is neither renamed nor dropped, and for one that the adoption expects and
    the file lacks.
    """
    left = set(tensors) - set(adoption.rename) - set(dropped(tensors, adoption))
    if left:
        raise ForeignError(
            f"{len(left)} tensors have no place in the layout {adoption.layout!r}: "
            f"{', '.join(sorted(left)[:5])}{' ...' if len(left) > 5 else ''}"
        )
    missing = set(adoption.rename) - set(tensors)
    if missing:
        raise ForeignError(
            f"the layout {adoption.layout!r} needs {len(missing)} tensors that the file lacks: "
            f"{', '.join(sorted(missing)[:5])}{' ...' if len(missing) > 5 else ''}"
        )
    out = {}
    for theirs, ours in adoption.rename.items():
        tensor = tensors[theirs]
        if ours in adoption.transforms:
            tensor = TRANSFORMS[adoption.transforms[ours]](tensor)
        out[ours] = tensor
    return out
