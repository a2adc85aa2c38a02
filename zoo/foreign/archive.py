"""The containers of torch.save: a zip of one pickle and raw storages; before, a run of pickles.

Zip (torch >= 1.6): NAME/data.pkl, NAME/data/KEY stored uncompressed, so a storage is a slice of the
mapped file. Older: five pickles (magic, protocol, system, object, keys), then each storage as an
int64 count and its numbers.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from zoo.errors import ForeignError
from zoo.foreign.unpickle import Reader, Storage

MAGIC = 0x1950A86A20F9469CFC6C


def mapped(path: Path) -> torch.UntypedStorage:
    """The file's bytes: copy-on-write pages, read from disk when first touched."""
    size = path.stat().st_size
    content = torch.UntypedStorage.from_file(str(path), shared=False, nbytes=size)
    return cast(torch.UntypedStorage, content)


def read_zip(path: Path) -> Any:
    """The object saved in a torch zip file; ForeignError if it is damaged or carries code."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            return _read_zip(path, archive, file)
    except zipfile.BadZipFile as error:
        raise ForeignError(f"{path} is a damaged zip file: {error}. Fetch it again.") from error


def _read_zip(path: Path, archive: zipfile.ZipFile, file: IO[bytes]) -> Any:
    records = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in records if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise ForeignError(f"{path} is a zip file but not torch's: it has {len(pickles)} data.pkl")
    root = pickles[0].removesuffix("data.pkl")
    order = records.get(f"{root}byteorder")
    if order is not None and archive.read(order) != b"little":
        raise ForeignError(f"{path} was written on a big-endian machine, which is not supported")
    if f"{root}constants.pkl" in records:
        raise ForeignError(f"{path} is a TorchScript program, which carries code; refused")
    content = mapped(path)
    storages: dict[str, Storage] = {}

    def storage(pid: tuple[Any, ...]) -> Storage:
        dtype, key, count = _described(path, pid)
        if key not in storages:
            info = records.get(f"{root}data/{key}")
            if info is None or info.compress_type != zipfile.ZIP_STORED:
                raise ForeignError(f"{path}: storage {key!r} is missing or compressed")
            start = _data_start(file, info)
            storages[key] = Storage(_slice(path, content, start, count, dtype, info.file_size))
        return storages[key]

    with archive.open(pickles[0]) as stream:
        return _run(Reader(stream, str(path), storage))


def _data_start(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Where a stored record's bytes begin: its local header has its own name and extra lengths."""
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) != 30 or header[:4] != b"PK\x03\x04":
        raise ForeignError(f"{file.name}: no local header for {info.filename}; the file is damaged")
    name, extra = struct.unpack("<HH", header[26:30])
    return info.header_offset + 30 + int(name) + int(extra)


def read_legacy(path: Path) -> Any:
    """The object saved in torch's format before 1.6, or a bare pickle without tensors' storages."""
    content = mapped(path)
    wanted: dict[str, tuple[torch.dtype, int]] = {}
    made: dict[str, Storage] = {}

    def storage(pid: tuple[Any, ...]) -> Storage:
        dtype, key, count = _described(path, pid)
        if len(pid) > 5 and pid[5] is not None:
            raise ForeignError(
                f"{path} shares storages by views, a format before torch 0.4; refused"
            )
        if key not in made:
            wanted[key] = (dtype, count)
            made[key] = Storage(torch.empty(count, dtype=dtype, device="meta"))
        return made[key]

    with path.open("rb") as file:
        first = _run(Reader(file, str(path), storage))
        if first != MAGIC:
            raise ForeignError(
                f"{path} is a pickle but not a torch checkpoint (it holds a {type(first).__name__})"
            )
        for _ in range(2):  # protocol version, system information
            _run(Reader(file, str(path), storage))
        keys, start = _skipped(path, file, storage)
        offsets = _offsets(path, content, keys, wanted, start)
        for key, (dtype, count) in wanted.items():
            if key not in offsets:
                raise ForeignError(f"{path}: storage {key!r} is missing; the file is damaged")
            size = count * dtype.itemsize
            made[key] = Storage(_slice(path, content, offsets[key], count, dtype, size))
        file.seek(0)
        for _ in range(3):
            _run(Reader(file, str(path), storage))
        return _run(Reader(file, str(path), storage))


def _skipped(path: Path, file: IO[bytes], storage: Any) -> tuple[list[str], int]:
    """Read past the object, learning its storages: the list of keys, and where numbers begin."""
    _run(Reader(file, str(path), storage))
    keys = _run(Reader(file, str(path), storage))
    if not isinstance(keys, list) or any(type(key) is not str for key in keys):
        raise ForeignError(f"{path}: no list of storages after the object; the file is damaged")
    return keys, file.tell()


def _offsets(
    path: Path,
    content: torch.UntypedStorage,
    keys: list[str],
    wanted: dict[str, tuple[torch.dtype, int]],
    start: int,
) -> dict[str, int]:
    """Byte offset of each storage's numbers: key after key, an int64 count before each."""
    offsets = {}
    for key in keys:
        if key not in wanted or start + 8 > content.nbytes():
            raise ForeignError(
                f"{path}: storage {key!r} is unknown or cut off; the file is damaged"
            )
        dtype, count = wanted[key]
        if struct.unpack("<q", bytes(content[start : start + 8].tolist()))[0] != count:
            raise ForeignError(f"{path}: storage {key!r} has another length than its tensor says")
        offsets[key] = start + 8
        start += 8 + count * dtype.itemsize
    return offsets


def _described(path: Path, pid: tuple[Any, ...]) -> tuple[torch.dtype, str, int]:
    """(dtype, key, count) of a persistent id ("storage", type, key, location, count, ...)."""
    if (
        len(pid) < 5
        or not isinstance(pid[1], torch.dtype)
        or type(pid[2]) is not str
        or type(pid[4]) is not int
        or pid[4] < 0
    ):
        raise ForeignError(f"{path}: a storage described as {pid!r} cannot be read")
    return pid[1], pid[2], pid[4]


def _slice(
    path: Path,
    content: torch.UntypedStorage,
    start: int,
    count: int,
    dtype: torch.dtype,
    available: int,
) -> Tensor:
    """`count` numbers from byte `start`, a view of the mapped file where its alignment allows."""
    size = count * dtype.itemsize
    if size > available or start + size > content.nbytes():
        raise ForeignError(
            f"{path}: a storage of {size} bytes is cut off after "
            f"{min(available, content.nbytes() - start)}; fetch the file again"
        )
    if size == 0:
        return torch.empty(0, dtype=dtype)
    part = content[start : start + size]
    if start % dtype.itemsize:  # the older format packs them without alignment
        part = part.clone()
    return torch.empty(0, dtype=dtype).set_(part, 0, (count,), (1,))


def _run(reader: Reader) -> Any:
    """One pickle. Whatever a damaged program provokes becomes a ForeignError."""
    try:
        return reader.load()
    except ForeignError as error:
        if reader.where in str(error):
            raise
        raise ForeignError(f"{reader.where}: {error}") from error
    except (MemoryError, RecursionError, Exception) as error:
        raise ForeignError(
            f"{reader.where} cannot be read as a checkpoint: {type(error).__name__}: {error}"
        ) from error
