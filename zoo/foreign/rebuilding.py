"""The child's description (`zoo.apart.wire`), checked number by number, as data and memory-mapped tensors.

Nothing in it is believed: types are known ones, spans lie in the file and not on each other, tensors lie inside their
storages, nodes name nodes that are there. A description that breaks this is a ForeignError.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import Tensor

from zoo.apart.described import ITEM_SIZES, Kind, Storage, described
from zoo.apart.unpickle import Inert, stand_in
from zoo.errors import ForeignError

_WEIGHT = 64  # values in a key: what a hash takes grows with what a tuple unfolds to


def contents(answer: dict[str, Any], path: Path, size: int) -> Any:
    """What the file holds, of a description of a file of `size` bytes. Raises ForeignError."""
    try:
        return _Builder(answer, path, size).contents()
    except ForeignError as error:
        if str(path) in str(error):
            raise
        raise ForeignError(f"{path}: {error}") from error
    except (TypeError, ValueError, KeyError, IndexError, RuntimeError, RecursionError) as error:
        raise ForeignError(
            f"{path}: its description makes no sense: {type(error).__name__}: {error}"
        ) from error


class Stored:
    """A storage that stands in the file without a tensor; `flat` is (numel,)."""

    def __init__(self, flat: Tensor) -> None:
        self.flat = flat


class _Builder:
    """Nodes become things when they are first asked for; what can hold itself is filled afterwards."""

    def __init__(self, answer: dict[str, Any], path: Path, size: int) -> None:
        self.path, self.size = path, size
        self.answer = answer
        self.nodes: list[Any] = answer["nodes"]
        if sorted(answer) != ["nodes", "root", "storages"] or type(self.nodes) is not list:
            _refuse(sorted(answer))
        self.made: dict[int, Any] = {}
        self.weights: dict[int, int] = {}  # values in the tuple or frozen set of that node
        self.classes: dict[str, type[Inert]] = {}
        self.to_fill: list[tuple[Any, list[Any]]] = []
        self.storages = [self.storage(each) for each in answer["storages"]]
        self.refuse_overlaps()
        self.flats: dict[int, Tensor] = {}
        self.content: torch.UntypedStorage | None = None

    def contents(self) -> Any:
        root = self.value(self.answer["root"])
        while self.to_fill:
            target, words = self.to_fill.pop()
            self.fill(target, words)
        return root

    def storage(self, said: Any) -> Storage:
        name, spans = said
        kind = _kind(name)
        places = [(_natural(start), _natural(count)) for start, count in spans]
        for start, count in places:
            if start + count * kind.size > self.size:
                _refuse([name, start, count])
        return Storage(kind, sum(count for _, count in places), places)

    def refuse_overlaps(self) -> None:
        spans = sorted(
            (start, start + count * each.kind.size)
            for each in self.storages
            for start, count in each.spans
            if count
        )
        for (_, stop), (start, _) in pairwise(spans):
            if start < stop:
                raise ForeignError(
                    f"two of its storages lie on each other at byte {start}; refused"
                )

    def flat(self, index: int) -> Tensor:
        """The numbers of a storage: views of the mapped file where their alignment allows."""
        if index not in self.flats:
            here = self.storages[index]
            parts = [self.mapped(here.kind, *span) for span in here.spans if span[1]]
            empty = torch.empty(0, dtype=getattr(torch, here.kind.name), device="cpu")
            self.flats[index] = (
                empty if not parts else parts[0] if len(parts) == 1 else torch.cat(parts)
            )
        return self.flats[index]

    def mapped(self, kind: Kind, start: int, count: int) -> Tensor:
        if self.content is None:  # copy-on-write pages, read from disk when first touched
            read = torch.UntypedStorage.from_file(str(self.path), shared=False, nbytes=self.size)
            self.content = cast(torch.UntypedStorage, read)
        part = self.content[start : start + count * kind.size]
        if start % kind.size:  # older formats pack them without alignment
            part = part.clone()
        empty = torch.empty(0, dtype=getattr(torch, kind.name), device="cpu")
        return empty.set_(part, 0, (count,), (1,))

    def value(self, said: Any) -> Any:
        if type(said) is not list:
            if type(said) is dict:
                _refuse(said)
            return said
        (index,) = said
        if not _natural(index) < len(self.nodes):
            _refuse(said)
        if index not in self.made:
            self.made[index] = self.node(index, *self.nodes[index])
        return self.made[index]

    def node(self, index: int, what: str, *said: Any) -> Any:
        if what in ("list", "set", "dict", "ordered", "object"):
            empty = self.value(said[0])() if what == "object" else _EMPTY[what]()
            if what == "object" and not isinstance(empty, Inert):
                _refuse(said)
            self.to_fill.append((empty, list(said)))
            return empty
        if what in ("tuple", "frozenset"):
            values = [self.value(each) for each in said]
            self.weights[index] = 1 + sum(map(self.weight, said))
            if what == "tuple":
                return tuple(values)
            self.refuse_heavy(said)
            return frozenset(values)
        if what == "tensor":
            return self.tensor(*said)
        if what == "storage":
            return Stored(self.flat(self.stored(*said)))
        (name,) = said
        if type(name) is not str:
            _refuse([what, name])
        if what in ("bytes", "bytearray"):
            content = base64.b64decode(name, validate=True)
            return content if what == "bytes" else bytearray(content)
        if what == "class":
            return self.classes.setdefault(name, stand_in(name))
        if what == "kind" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        return name if what == "text" else _refuse([what, name])

    def fill(self, target: Any, said: list[Any]) -> None:
        """Give a mutable thing what it holds."""
        if isinstance(target, Inert):
            _, target.args, target.kwargs, target.state, items, values = map(self.value, said)
            target.items, target.values = items, values
            held = (target.args, target.kwargs, items, values)
            if [type(each) for each in held] != [tuple, dict, dict, list]:
                _refuse(said)
        elif isinstance(target, list):
            target.extend(map(self.value, said))
        elif isinstance(target, set):
            self.refuse_heavy(said)
            target.update(map(self.value, said))
        else:
            self.refuse_heavy(said[::2])
            for key, value in zip(said[::2], said[1::2], strict=True):
                target[self.value(key)] = self.value(value)

    def weight(self, said: Any) -> int:
        return self.weights.get(said[0], 1) if type(said) is list else 1

    def refuse_heavy(self, keys: Any) -> None:
        for key in keys:
            self.value(key)
            if self.weight(key) > _WEIGHT:
                raise ForeignError(f"it has a key of {self.weight(key)} values; refused")

    def stored(self, index: Any) -> int:
        if not _natural(index) < len(self.storages):
            _refuse(["storage", index])
        return int(index)

    def tensor(self, index: Any, name: Any, offset: Any, size: Any, stride: Any) -> Tensor:
        place = self.stored(index)
        here = self.storages[place]
        made = described(here, _kind(name), offset, tuple(size), tuple(stride))
        flat = self.flat(place)
        if made.kind != here.kind:
            flat = flat.view(torch.uint8).view(getattr(torch, name))
        if 0 in made.size:
            return flat.new_empty(made.size)
        return flat.as_strided(made.size, made.stride, flat.storage_offset() + made.offset)


_EMPTY = {"list": list, "set": set, "dict": dict, "ordered": OrderedDict}


def _kind(name: Any) -> Kind:
    if name not in ITEM_SIZES or not isinstance(getattr(torch, name, None), torch.dtype):
        raise ForeignError(f"it holds numbers of {name!r}, which torch {torch.__version__} lacks")
    return Kind(name)


def _natural(value: Any) -> int:
    return value if type(value) is int and value >= 0 else _refuse(value)


def _refuse(said: Any) -> NoReturn:
    raise ForeignError(f"its description holds {str(said)[:200]}, which it cannot")
