"""Models across an air gap: one file that says what it holds, checked byte by byte on the other side.

A tar, uncompressed, whose first member is `bundle.json`: for each model its origin, its card, its
signature, and for each file size and sha256. The other members are those, named by their sha256. So
one sha256, told by telephone, vouches for all. Nothing in a bundle becomes a path: members are asked
for by the names that the manifest implies, and every other is refused.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from zoo import weights
from zoo.card import README
from zoo.errors import HubError, listed
from zoo.hub import signatures
from zoo.hub.download import here, refuse_full, sha256_of, take
from zoo.hub.partial import PIECE
from zoo.hub.pulling import Pulled, parsed
from zoo.hub.store import Origin, card_of, install, refuse_paths, standing
from zoo.safetensors_header import read_header
from zoo.schema import LONGEST
from zoo.sharing.locking import with_parts

MANIFEST, LONGEST_MANIFEST = "bundle.json", 64 << 20


@dataclass(frozen=True)
class Bundle:
    """A bundle that was written or read."""

    path: str
    sha256: str
    bytes: int
    models: list[str]


def export(names: Sequence[str], path: Path) -> Bundle:
    """Write pulled models and their parts to one file. Raises HubError, WeightsError."""
    found = {str(each.origin): each for name in names for each in with_parts(name) if each.origin}
    if not found:
        raise HubError(
            f"{listed(names)}: models that ship with the package need no bundle, and models of your own "
            "are pushed first: `zoo push MODEL FOLDER` writes a folder that ZOO_PATH reads."
        )
    blobs: dict[str, Path] = {}
    rows = []
    for each, origin in ((each, each.origin) for each in found.values()):
        for file, facts in each.card.files.items():
            weights.verify(each.folder / file, facts.sha256, facts.size)
            blobs[facts.sha256] = each.folder / file
        for name in (README, signatures.FILE):
            if (each.folder / name).exists():
                blobs[sha256_of(each.folder / name)] = each.folder / name
        signature = each.folder / signatures.FILE
        rows.append(
            {
                "origin": asdict(origin) if origin else None,
                "signature_sha256": sha256_of(signature) if signature.exists() else None,
            }
        )
    sizes = {digest: file.stat().st_size for digest, file in sorted(blobs.items())}
    manifest = json.dumps({"schema": 1, "models": rows, "files": sizes}, indent=1).encode()
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, MANIFEST, len(manifest), io.BytesIO(manifest))
            for digest, size in sizes.items():
                with blobs[digest].open("rb") as stream:
                    _add(tar, digest, size, stream)
        unfinished.replace(path)
    except OSError as error:
        raise HubError(f"{path} cannot be written: {error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return Bundle(str(path), sha256_of(path), path.stat().st_size, sorted(found))


def _add(tar: tarfile.TarFile, name: str, size: int, stream: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    tar.addfile(member, stream)


def import_(path: Path, expected: str | None = None) -> Bundle:
    """Lay the models of a bundle into the store, as if they had been pulled; no network is used.

    expected  the sha256 that the whole file must have

    Raises HubError for a file that is damaged, has another sha256, or is no bundle; and as pulling
    does for models that drifted or are signed by the wrong key.
    """
    try:
        digest = sha256_of(path)
        if expected is not None and digest != expected.lower():
            raise HubError(
                f"{path} has the sha256 {digest}, expected {expected}. Nothing was taken."
            )
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            done = _Reader(path, file, tar).all()
        return Bundle(str(path), digest, path.stat().st_size, [str(each.origin) for each in done])
    except (OSError, tarfile.TarError) as error:
        raise HubError(f"{path} cannot be read as a bundle: {error}.") from error


class _Reader:
    """A bundle that is being read."""

    def __init__(self, path: Path, file: IO[bytes], tar: tarfile.TarFile) -> None:
        self.path, self.file = path, file
        first = tar.next()
        if first is None or first.name != MANIFEST or not first.isreg():
            raise HubError(f"{path} is no bundle: it does not begin with {MANIFEST}.")
        if first.size > LONGEST_MANIFEST:
            raise HubError(
                f"{path}: {MANIFEST} has {first.size} bytes, at most {LONGEST_MANIFEST}."
            )
        try:
            data = json.loads(self._read(first))
            if data["schema"] != 1:
                raise ValueError(f"schema {data['schema']!r}, this genzoo reads 1")
            self.sizes: dict[str, int] = {
                str(key): int(size) for key, size in data["files"].items()
            }
            self.rows: list[tuple[Origin, Any]] = [
                (Origin(**each["origin"]), each["signature_sha256"]) for each in data["models"]
            ]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise HubError(f"{path}: {MANIFEST} cannot be read: {error}.") from error
        self.members: dict[str, tarfile.TarInfo] = {}
        while (member := tar.next()) is not None:
            wanted = self.sizes.get(member.name)
            if not member.isreg() or wanted != member.size or member.name in self.members:
                raise HubError(
                    f"{path}: the member {member.name!r} ({member.size} bytes) is not what {MANIFEST} "
                    f"says ({wanted})."
                )
            self.members[member.name] = member
        missing = self.sizes.keys() - self.members.keys()
        if missing:
            raise HubError(f"{path} ends early: it lacks {listed(missing, 3)}. Copy it again.")

    def all(self) -> list[Pulled]:
        """Every model, laid into the store."""
        refuse_full(sum(size for digest, size in self.sizes.items() if not here(digest, size)))
        return [self._model(origin, signature) for origin, signature in self.rows]

    def _model(self, origin: Origin, signature: str | None) -> Pulled:
        text = self._small(origin.card_sha256)
        card = parsed(text, origin.address)
        refuse_paths(card)
        envelope = self._small(signature) if signature else None
        signer = signatures.checked(origin, card, envelope)
        origin = Origin(**{**asdict(origin), "signer": signer})
        if origin.version is not None and origin.version != card.version:
            raise HubError(f"{self.path}: {origin} holds a card of version {card.version}.")
        if there := standing(origin):
            if there[1].card_sha256 == origin.card_sha256:
                return Pulled(card_of(*there), *there)
            raise HubError(
                f"{self.path}: {origin} is another model than the one in {there[0]}. A version never "
                "changes; delete that folder to take this one."
            )
        files = {}
        for name, facts in card.files.items():
            files[name] = self._file(facts.sha256, facts.size)
            if name.endswith(".safetensors"):
                read_header(files[name])
        return Pulled(card, install(text, files, origin, envelope), origin)

    def _file(self, digest: str, size: int) -> Path:
        if self.sizes.get(digest) != size:
            raise HubError(f"{self.path} lacks the file of sha256 {digest} ({size} bytes).")
        found = here(digest, size)
        if found and sha256_of(found) == digest:
            return found
        return take(digest, size, str(self.path), lambda start: self._pieces(digest, start))

    def _small(self, digest: str) -> bytes:
        member = self.members.get(digest)
        if member is None or member.size > 4 * LONGEST:
            raise HubError(f"{self.path} lacks the card or signature of sha256 {digest}.")
        text = self._read(member)
        if sha256(text).hexdigest() != digest:
            raise HubError(f"{self.path}: the member {digest} is damaged. Copy the bundle again.")
        return text

    def _read(self, member: tarfile.TarInfo) -> bytes:
        self.file.seek(member.offset_data)
        return self.file.read(member.size)

    def _pieces(self, digest: str, start: int) -> Iterator[bytes]:
        member = self.members[digest]
        self.file.seek(member.offset_data + start)
        left = member.size - start
        while left and (piece := self.file.read(min(left, PIECE))):
            left -= len(piece)
            yield piece
