"""Small models to share, as folders."""

import json
from dataclasses import replace
from hashlib import sha256

from zoo.card import Card, File

CARD = Card(
    name="toy", family="pixelgauss", version="1.0.0", license="mit", config={}, image=(3, 8, 8),
    library_name="genzoo", tags=("genzoo",), pipeline_tag="unconditional-image-generation",
)  # fmt: skip


def tensor(count, seed=b""):
    """A safetensors file with one tensor of `count` random bytes, not compressible."""
    head = json.dumps({"w": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}})
    head += " " * (-len(head) % 8)
    data = b"".join(
        sha256(seed + index.to_bytes(4, "little")).digest() for index in range(-(-count // 32))
    )
    return len(head).to_bytes(8, "little") + head.encode() + data[:count]


def make(folder, files=None, **changes):
    """A model's folder; files by their bytes."""
    files = {"recipe.toml": b"steps = 3\n"} if files is None else files
    facts = {path: File(sha256(data).hexdigest(), len(data)) for path, data in files.items()}
    card = replace(CARD, **{"files": facts, **changes})
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(card.text())
    return folder
