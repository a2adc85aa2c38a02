"""A pickle reader that can describe tensors and rebuild plain data, and nothing else.

A pickle is a program for a small stack machine; its dangerous instructions are those that name a
Python object (GLOBAL, STACK_GLOBAL, INST) and those that call it (REDUCE, NEWOBJ, OBJ, BUILD). Here
a name is never looked up in a module: it maps to one of the few entries below, to an inert stand-in
that only remembers what it was given, or, when it is the interpreter's or the standard library's
(os.system, builtins.eval), the file is refused by name. So nothing that the file says is ever
imported or executed. Format: the Python documentation, "pickle".
"""

from __future__ import annotations

import _compat_pickle
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, ClassVar

from zoo.apart.described import NAMES, STORAGES, Described, Kind, Storage, described
from zoo.errors import ForeignError

# Classes of the standard library that checkpoints hold as plain values; they become stand-ins like
# any stranger's.
_HARMLESS = {
    "argparse.Namespace",
    "collections.Counter",
    "collections.defaultdict",
    "collections.deque",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "datetime.timezone",
    "decimal.Decimal",
    "functools.partial",
    "logging.Logger",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "types.SimpleNamespace",
    "typing.Any",
    "typing.Dict",
    "typing.List",
    "typing.Optional",
    "typing.Tuple",
    "typing.Union",
    "uuid.UUID",
    *(f"builtins.{name}" for name in ("bool", "bytearray", "bytes", "complex", "dict", "float")),
    *(f"builtins.{name}" for name in ("int", "list", "object", "range", "slice", "str", "tuple")),
}


class Inert:
    """What a class or function named in a pickle becomes: it keeps what it is given, no more."""

    qualified = "?"  # "package.module.Name" as the file wrote it

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    state: Any
    items: dict[Any, Any]
    values: list[Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        """Here and not in __init__, which a pickle may pass over."""
        made = super().__new__(cls)
        made.args, made.kwargs, made.state = args, kwargs, None
        made.items, made.values = {}, []
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, value: Any) -> None:
        """Keep a value that the pickle appends."""
        self.values.append(value)

    def extend(self, values: Any) -> None:
        """Keep values that the pickle appends."""
        self.values.extend(values)

    def __repr__(self) -> str:
        return f"<inert {self.qualified}>"


def stand_in(qualified: str) -> type[Inert]:
    """What stands for a class or function of that name."""
    return type(qualified.rpartition(".")[2], (Inert,), {"qualified": qualified})


class Reader(pickle._Unpickler):
    """Reads one pickle; `storage` makes a Storage of a persistent id ("storage", dtype, key, ...).

    The pure Python unpickler on purpose: every instruction goes through code that can be read and
    overridden.
    """

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(
        self, file: IO[bytes], where: str, storage: Callable[[tuple[Any, ...]], Storage]
    ) -> None:
        super().__init__(file, encoding="latin1")
        self.where = where
        self.storage = storage
        self.stand_ins: dict[str, type[Inert]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file stands for; never an import."""
        # Protocols below 3 write Python 2's names: commands.Popen for subprocess.Popen.
        module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
        module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        qualified = f"{module}.{name}"
        if qualified in KNOWN:
            return KNOWN[qualified]
        if module in ("torch", "torch.cuda", "torch.storage") and name in STORAGES:
            return Kind(STORAGES[name])
        if module == "torch" and name in NAMES:
            return Kind(NAMES[name])
        root = module.partition(".")[0]
        if root in sys.stdlib_module_names and qualified not in _HARMLESS:
            raise ForeignError(
                f"{self.where} carries code: it asks for {qualified}. Nothing was executed and "
                "nothing was loaded. Get the weights as safetensors, or from someone you trust."
            )
        if qualified not in self.stand_ins:
            self.stand_ins[qualified] = stand_in(qualified)
        return self.stand_ins[qualified]

    def get_extension(self, code: int) -> None:
        """EXT1, EXT2, EXT4: refused."""
        raise ForeignError(
            f"{self.where} uses pickle extension code {code}, which names code; refused."
        )

    def persistent_load(self, pid: Any) -> Any:
        """The storage of a persistent id."""
        if not isinstance(pid, tuple) or not pid or pid[0] not in ("storage", b"storage"):
            raise ForeignError(
                f"{self.where}: a persistent id that is not a tensor storage: {pid!r}"
            )
        return self.storage(pid)

    def load_build(self) -> None:
        """BUILD: stand-ins keep a state; no attribute of anything else is ever set."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.state = state
        elif not isinstance(target, OrderedDict | Described):
            raise ForeignError(
                f"{self.where} sets the state of a {type(target).__name__}; refused."
            )

    dispatch[pickle.BUILD[0]] = load_build


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any, **__: Any) -> Described:
    """torch._utils._rebuild_tensor_v2, with the extent checked against the storage."""
    if not isinstance(storage, Storage):
        raise ForeignError("a tensor is built on something that is not a storage")
    return described(storage, storage.kind, offset, tuple(size), tuple(stride))


def _typed(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, kind: Any, *_: Any
) -> Described:
    """torch._utils._rebuild_tensor_v3: the storage is bytes, the type comes beside it."""
    if not isinstance(storage, Storage) or not isinstance(kind, Kind):
        raise ForeignError("a tensor is built on something that is not a storage")
    return described(storage, kind, offset, tuple(size), tuple(stride))


def _subclass(build: Any, cls: Any, args: Any, state: Any = None) -> Any:
    """torch._tensor._rebuild_from_type_v2: a tensor with attributes, which are left out."""
    if build not in (_tensor, _typed, _parameter):
        raise ForeignError(f"a tensor is rebuilt by {build!r}; refused")
    return build(*args)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _shape(values: Any = ()) -> tuple[Any, ...]:
    return tuple(values)


def _latin(text: Any, encoding: Any = "latin1") -> bytes:
    """_codecs.encode, as protocol 2 writes byte strings."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ForeignError("a byte string written in an unknown way")
    return text.encode("latin1")


def _new(cls: Any, *_: Any) -> Any:
    """copyreg._reconstructor: an empty stand-in."""
    if not (isinstance(cls, type) and issubclass(cls, Inert)):
        raise ForeignError(f"an object of {cls!r} is rebuilt by hand; refused")
    return cls()


KNOWN: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "_codecs.encode": _latin,
    "copyreg._reconstructor": _new,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _shape,
}
