"""Safetensors files: verified, mapped into memory, written whole or not at all.

The data are mapped privately, so writing to a tensor never writes to the file, and pages are read
when they are first used. The header is checked by `zoo.safetensors_header` before any of it is
believed.

Every file's sha256 stands in its card and is checked. For a file over `ALWAYS` bytes the result is
remembered in `home()/verified/`, keyed by path, size, modification time, inode and the expected
hash, so that the second load does not read it all again; whoever can write there and fake those
four can also replace this module. `zoo verify` never trusts the memory. The check reads every byte,
so it also looks for NaN and infinity, once a hash: what a hash has proven finite stays finite.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import WeightsError, listed
from zoo.progress import progress
from zoo.safetensors_header import read_header

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ALWAYS = 16 << 20  # bytes; smaller files are hashed at every load (15 ms)
PIECE = 4 << 20  # bytes hashed at a time
DTYPES = {  # names in a header -> names in torch
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32",
    "I32": "int32", "U64": "uint64", "I64": "int64", "F8_E5M2": "float8_e5m2", "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn", "F16": "float16", "BF16": "bfloat16", "F32": "float32",
    "F64": "float64",
}  # fmt: skip


def sha256_of(path: str | Path) -> str:
    """The sha256 of a file, 64 hex digits, read in pieces.

    Raises WeightsError if it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            total = -(-os.fstat(file.fileno()).st_size // PIECE)
            pieces = iter(lambda: file.read(PIECE), b"")
            for piece in progress(pieces, total, f"checking {Path(path).name}"):
                digest.update(piece)
    except OSError as error:
        raise WeightsError(f"{path}: cannot read the file: {error.strerror or error}.") from error
    return digest.hexdigest()


def verify(path: str | Path, sha256: str, size: int | None = None, again: bool = True) -> None:
    """Check a file against its card: size, sha256, the header, and that every number is finite.

    With `again=False` a large file that passed before and has not been touched is not read again.
    Raises WeightsError naming the file, both sides and the remedy.
    """
    path = Path(path)
    try:
        stat = path.stat()
    except OSError as error:
        raise WeightsError(
            f"{path}: the card names this file, but it cannot be read: {error.strerror}. Fetch the "
            "model again."
        ) from error
    if size is not None and stat.st_size != size:
        raise WeightsError(
            f"{path}: {stat.st_size} bytes, the card says {size}. The file is truncated or another "
            "one: fetch it again."
        )
    stamp = _stamp(path, stat, sha256)
    if not again and stat.st_size > ALWAYS and stamp.exists():
        return
    found = sha256_of(path)
    if found != sha256:
        raise WeightsError(
            f"{path}: its sha256 is {found}, the card says {sha256}. The file was damaged or "
            "changed: fetch it again."
        )
    if path.suffix == ".safetensors":
        _refuse_not_finite_file(path)
    if stat.st_size > ALWAYS:
        try:
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.touch()
        except OSError:
            pass  # a home that cannot be written only costs the time to check again


def read(
    path: str | Path, sha256: str | None = None, device: str | torch.device = "cpu"
) -> dict[str, Tensor]:
    """The tensors of a safetensors file, mapped into memory, after its header was checked.

    With `sha256`, the file is verified first. Writing to the tensors does not write to the file.
    Raises WeightsError.
    """
    if sha256 is not None:
        verify(path, sha256, again=False)
    import torch

    header = read_header(path)
    size = Path(path).stat().st_size
    storage: Any = torch.UntypedStorage.from_file(str(path), False, size)  # copy on write
    whole = torch.empty(0, dtype=torch.uint8).set_(storage)
    got = {}
    for name, each in header.tensors.items():
        dtype: torch.dtype = getattr(torch, DTYPES[each.dtype])
        data = whole[header.data + each.start : header.data + each.end]
        if (header.data + each.start) % dtype.itemsize:
            data = data.clone()  # written without alignment, which a view needs
        got[name] = data.view(dtype).view(each.shape).to(device)
    return got


def save(
    path: str | Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file, all or nothing: a crash leaves the old file.

    Tensors that share memory (tied weights) are written once, under the first name. Raises
    WeightsError for a number that is not finite: such weights would be refused at load.
    """
    from safetensors.torch import save_file

    path, kept, seen = Path(path), {}, set()
    refuse_not_finite(state, str(path))
    for name, tensor in state.items():
        place = (
            tensor.untyped_storage().data_ptr(),
            tensor.storage_offset(),
            tensor.shape,
            tensor.stride(),
        )
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        kept[name] = tensor.detach().cpu().contiguous().clone()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(kept, unfinished, {"format": "pt", **(metadata or {})})
        unfinished.chmod(0o644)  # the library writes for its owner alone, but stores are shared
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def refuse_not_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Raise WeightsError naming the tensors with NaN or infinity.

    One sum a tensor; only a suspect is looked at twice.
    """
    _refuse([name for name, each in state.items() if not _finite(each)], where)


def _refuse_not_finite_file(path: Path) -> None:
    """The same for a safetensors file, in pieces, so that the check needs no memory to speak of."""
    import torch

    header = read_header(path)
    piece = bytearray(PIECE)
    bad = []
    with path.open("rb") as file:
        for name, each in header.tensors.items():
            dtype: torch.dtype = getattr(torch, DTYPES[each.dtype])
            if not dtype.is_floating_point:
                continue
            file.seek(header.data + each.start)
            for first in range(each.start, each.end, PIECE):
                count = file.readinto(memoryview(piece)[: each.end - first])
                if not _finite(torch.frombuffer(piece, dtype=dtype, count=count // dtype.itemsize)):
                    bad.append(name)
                    break
    _refuse(bad, str(path))


def _finite(tensor: Tensor) -> bool:
    import torch

    if not tensor.dtype.is_floating_point or tensor.is_meta:
        return True
    values = tensor if tensor.dtype.itemsize > 1 else tensor.float()
    total = values.sum(dtype=torch.promote_types(values.dtype, torch.float32))
    # a sum that is not finite may also be of finite numbers
    return bool(torch.isfinite(total)) or bool(torch.isfinite(values).all())


def _refuse(bad: list[str], where: str) -> None:
    if bad:
        raise WeightsError(
            f"{where}: {len(bad)} tensors hold NaN or infinity: {listed(bad)}. Training diverged "
            "or a cast overflowed: use an earlier checkpoint, or store them in a wider type."
        )


def _stamp(path: Path, stat: os.stat_result, sha256: str) -> Path:
    from zoo.hub.home import home

    key = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}\0{sha256}"
    return home() / "verified" / hashlib.sha256(key.encode()).hexdigest()
