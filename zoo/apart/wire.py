"""What the child tells the parent: the contents of a file as a table of nodes, in JSON.

    {"storages": [[kind, [[first byte, numbers], ...]], ...], "nodes": [[what, ...], ...], "root": value}

A value is null, a truth value, a number, a short text, or [i]: node i. So what is shared stays shared, a thing that
holds itself ends, and the length is bounded by the file's, not by what it unfolds to. Nodes:

    text S · bytes B64 · bytearray B64 · list V... · tuple V... · set V... · frozenset V... · dict K V ...
    ordered K V ... · kind NAME · class NAME · storage I · tensor I KIND OFFSET SIZE STRIDE
    object CLASS ARGS KWARGS STATE ITEMS VALUES
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from typing import Any

from zoo.apart.described import Described, Kind, Storage
from zoo.apart.unpickle import KNOWN, Inert
from zoo.errors import ForeignError

LONGEST = 32 * 2**20  # letters of a description; Stable Diffusion's has 200 thousand
DEEPEST = 200  # of things in things
_SHORT = 64  # letters of a text that is written where it stands
_FLAT: dict[type, str] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset"}
_PAIRS: dict[type, str] = {dict: "dict", OrderedDict: "ordered"}
_NAMES = {id(value): name for name, value in KNOWN.items()}


def encode(contents: Any, where: str) -> str:
    """The document. Raises ForeignError for what is too deep, too long, or no checkpoint's."""
    writer = _Writer(where)
    root = writer.value(contents, 0)
    nodes, storages = ",".join(writer.nodes), json.dumps(writer.storages)
    return f'{{"storages": {storages}, "nodes": [{nodes}], "root": {json.dumps(root)}}}'


class _Writer:
    """Nodes by the identity of what they say."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.nodes: list[str] = []
        self.storages: list[Any] = []
        self.known: dict[int, int] = {}
        self.lying: dict[int, int] = {}
        self.length = 0

    def value(self, value: Any, depth: int) -> Any:
        if value is None or type(value) in (bool, int, float):
            return value
        if type(value) is str and len(value) <= _SHORT:
            return value
        if depth > DEEPEST:
            raise ForeignError(f"{self.where} is nested more than {DEEPEST} deep; refused")
        if id(value) not in self.known:
            self.known[id(value)] = index = len(self.nodes)
            self.nodes.append("")
            self.nodes[index] = text = json.dumps(self.node(value, depth + 1))
            self.length += len(text)
            if self.length > LONGEST:
                raise ForeignError(
                    f"{self.where} holds more than {LONGEST} letters of other things than tensors' numbers; refused"
                )
        return [self.known[id(value)]]

    def node(self, value: Any, depth: int) -> list[Any]:
        kind = type(value)
        if kind is str:
            return ["text", value]
        if kind in (bytes, bytearray):
            return [kind.__name__, base64.b64encode(value).decode()]
        if kind in _FLAT:
            return [_FLAT[kind], *[self.value(each, depth) for each in value]]
        if kind in _PAIRS:
            return [_PAIRS[kind], *[self.value(e, depth) for pair in value.items() for e in pair]]
        if kind is Kind:
            return ["kind", value.name]
        if kind is Storage:
            return ["storage", self.storage(value)]
        if kind is Described:
            place = self.storage(value.storage)
            return ["tensor", place, value.kind.name, value.offset, value.size, value.stride]
        if isinstance(value, Inert):
            held = (value.args, value.kwargs, value.state, value.items, value.values)
            return ["object", *[self.value(each, depth) for each in (kind, *held)]]
        if isinstance(value, type) and issubclass(value, Inert):
            return ["class", value.qualified]
        if id(value) in _NAMES:
            return ["class", _NAMES[id(value)]]
        raise ForeignError(f"{self.where} holds a {kind.__name__}, which no checkpoint has")

    def storage(self, storage: Storage) -> int:
        if id(storage) not in self.lying:
            self.lying[id(storage)] = len(self.storages)
            self.storages.append([storage.kind.name, storage.spans])
        return self.lying[id(storage)]
