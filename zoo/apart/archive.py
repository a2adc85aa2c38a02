"""The containers of torch.save: a zip of one pickle and raw storages; before, a run of pickles.

Zip (torch >= 1.6): NAME/data.pkl, NAME/data/KEY stored uncompressed, so a storage is a span of the
file. Older: five pickles (magic, protocol, system, object, keys), then each storage as an int64
count and its numbers.
"""

from __future__ import annotations

import struct
import zipfile
from typing import IO, Any

from zoo.apart.described import Kind, Storage
from zoo.apart.unpickle import Reader
from zoo.errors import ForeignError

MAGIC = 0x1950A86A20F9469CFC6C


def read_zip(file: IO[bytes], where: str) -> Any:
    """The object saved in a torch zip file, tensors described; ForeignError if it is damaged or carries code."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _read_zip(where, archive, file)
    except zipfile.BadZipFile as error:
        raise ForeignError(f"{where} is a damaged zip file: {error}. Fetch it again.") from error


def _read_zip(where: str, archive: zipfile.ZipFile, file: IO[bytes]) -> Any:
    records = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in records if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise ForeignError(f"{where} is a zip file but not torch's: it has {len(pickles)} data.pkl")
    root = pickles[0].removesuffix("data.pkl")
    order = records.get(f"{root}byteorder")
    if order is not None and archive.read(order) != b"little":
        raise ForeignError(f"{where} was written on a big-endian machine, which is not supported")
    if f"{root}constants.pkl" in records:
        raise ForeignError(f"{where} is a TorchScript program, which carries code; refused")
    length = _length(file)
    storages: dict[str, Storage] = {}

    def storage(pid: tuple[Any, ...]) -> Storage:
        kind, key, count = _described(where, pid)
        if key not in storages:
            info = records.get(f"{root}data/{key}")
            if info is None or info.compress_type != zipfile.ZIP_STORED:
                raise ForeignError(f"{where}: storage {key!r} is missing or compressed")
            start = _data_start(file, info, where)
            storages[key] = _lies(where, Storage(kind, count), start, info.file_size, length)
        return storages[key]

    with archive.open(pickles[0]) as stream:
        return _run(Reader(stream, where, storage))


def _length(file: IO[bytes]) -> int:
    return file.seek(0, 2)


def _data_start(file: IO[bytes], info: zipfile.ZipInfo, where: str) -> int:
    """Where a stored record's bytes begin: its local header has its own name and extra lengths."""
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) != 30 or header[:4] != b"PK\x03\x04":
        raise ForeignError(f"{where}: no local header for {info.filename}; the file is damaged")
    name, extra = struct.unpack("<HH", header[26:30])
    return info.header_offset + 30 + int(name) + int(extra)


def read_legacy(file: IO[bytes], where: str) -> Any:
    """The object saved in torch's format before 1.6, tensors described."""
    made: dict[str, Storage] = {}

    def storage(pid: tuple[Any, ...]) -> Storage:
        kind, key, count = _described(where, pid)
        if len(pid) > 5 and pid[5] is not None:
            raise ForeignError(
                f"{where} shares storages by views, a format before torch 0.4; refused"
            )
        if key not in made:
            made[key] = Storage(kind, count)
        return made[key]

    first = _run(Reader(file, where, storage))
    if first != MAGIC:
        raise ForeignError(
            f"{where} is a pickle but not a torch checkpoint (it holds a {type(first).__name__})"
        )
    for _ in range(2):  # protocol version, system information
        _run(Reader(file, where, storage))
    found = _run(Reader(file, where, storage))
    keys = _run(Reader(file, where, storage))
    if not isinstance(keys, list) or any(type(key) is not str for key in keys):
        raise ForeignError(f"{where}: no list of storages after the object; the file is damaged")
    _place(where, file, keys, made)
    return found


def _place(where: str, file: IO[bytes], keys: list[str], made: dict[str, Storage]) -> None:
    """Where each storage's numbers lie: key after key, an int64 count before each."""
    start = file.tell()
    length = _length(file)
    for key in keys:
        file.seek(start)
        count = file.read(8)
        if key not in made or len(count) != 8:
            raise ForeignError(
                f"{where}: storage {key!r} is unknown or cut off; the file is damaged"
            )
        here = made[key]
        if struct.unpack("<q", count)[0] != here.count:
            raise ForeignError(f"{where}: storage {key!r} has another length than its tensor says")
        size = here.count * here.kind.size
        _lies(where, here, start + 8, size, length)
        start += 8 + size
    for key, here in made.items():
        if not here.spans:
            raise ForeignError(f"{where}: storage {key!r} is missing; the file is damaged")


def _described(where: str, pid: tuple[Any, ...]) -> tuple[Kind, str, int]:
    """(kind, key, count) of a persistent id ("storage", type, key, location, count, ...)."""
    if (
        len(pid) < 5
        or not isinstance(pid[1], Kind)
        or type(pid[2]) is not str
        or type(pid[4]) is not int
        or pid[4] < 0
    ):
        raise ForeignError(f"{where}: a storage described as {pid!r} cannot be read")
    return pid[1], pid[2], pid[4]


def _lies(where: str, storage: Storage, start: int, available: int, length: int) -> Storage:
    """The storage, its numbers from byte `start` of a file of `length` bytes."""
    size = storage.count * storage.kind.size
    if size > available or start + size > length:
        raise ForeignError(
            f"{where}: a storage of {size} bytes is cut off after "
            f"{max(0, min(available, length - start))}; fetch the file again"
        )
    storage.spans = [(start, storage.count)]
    return storage


def _run(reader: Reader) -> Any:
    """One pickle. Whatever a damaged program provokes becomes a ForeignError."""
    try:
        return reader.load()
    except ForeignError as error:
        if reader.where in str(error):
            raise
        raise ForeignError(f"{reader.where}: {error}") from error
    except MemoryError as error:
        raise ForeignError(
            f"{reader.where} cannot be read as a checkpoint: it asks for more memory than a file of its size needs"
        ) from error
    except (RecursionError, Exception) as error:
        raise ForeignError(
            f"{reader.where} cannot be read as a checkpoint: {type(error).__name__}: {error}"
        ) from error
