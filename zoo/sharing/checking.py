"""What a model must be before anybody else gets it; asked without a network.

Every file is read and held against the card; safetensors headers against their files; nothing that
is or may be a pickle leaves, by its name or by its first bytes. What may be pushed is a list: a kind
of file that is not on it is refused until somebody has thought about it.
"""

from __future__ import annotations

from pathlib import Path

from zoo import weights
from zoo.card import README, WEIGHTS, Card
from zoo.errors import CardError, HubError, listed
from zoo.hub.signatures import FILE
from zoo.hub.store import refuse_paths

SUFFIXES = (
    ".safetensors", ".json", ".jsonl", ".toml", ".yaml", ".yml", ".txt", ".md", ".csv", ".tsv",
    ".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".model", ".bpe", ".vocab", ".merges",
)  # fmt: skip
NAMES = ("LICENSE", "LICENCE", "NOTICE")  # files without a suffix
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # sha256 of nothing
_MAGIC = {  # first bytes: what may hold code
    b"PK\x03\x04": "a zip archive, as torch.save writes",
    b"\x89HDF": "HDF5, as Keras writes",
    b"\x93NUMPY": "a NumPy array, which may hold pickled objects",
    b"\x1f\x8b": "compressed by gzip",
    b"MZ": "a program",
    b"\x7fELF": "a program",
    b"#!": "a script",
}


def refuse_unfit(card: Card, folder: Path) -> None:
    """Read every file of a model; raise CardError, HubError or WeightsError for one unfit to share."""
    refuse_paths(card)
    if WEIGHTS not in card.files and not card.files:
        raise CardError(f"The card of {card.title} names no file, so there is nothing to push.")
    for path, facts in card.files.items():
        if path in (README, FILE):
            raise CardError(
                f"The card of {card.title} names {path}, which is written when pushing."
            )
        if len(set(facts.sha256)) == 1 or (facts.sha256 == _EMPTY) != (facts.size == 0):
            raise CardError(
                f"The card of {card.title} gives {path} the sha256 {facts.sha256}, which is no file's. "
                "Save the model again: `zoo.load(...).save(folder)` writes what is true."
            )
        refuse_pickle(folder / path, path)
        weights.verify(folder / path, facts.sha256, facts.size)


def refuse_pickle(file: Path, path: str) -> None:
    """Raise HubError for a file of a kind that is not shared."""
    name = path.rsplit("/", 1)[-1]
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES and name not in NAMES:
        raise HubError(
            f"{path} is of a kind that is not pushed ({suffix or 'no suffix'}). Weights go as "
            f".safetensors (`zoo convert` makes them), the rest as {listed(SUFFIXES, 30)}."
        )
    try:
        with file.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise HubError(f"{file} cannot be read: {error}.") from error
    if suffix == ".safetensors":
        return  # checked by its header
    found = next((what for magic, what in _MAGIC.items() if head.startswith(magic)), None)
    if head[:1] == b"\x80" and head[1:2] in b"\x01\x02\x03\x04\x05":
        found = "a pickle"
    if found:
        raise HubError(f"{path} is not what its name says but {found}. It was not pushed.")
