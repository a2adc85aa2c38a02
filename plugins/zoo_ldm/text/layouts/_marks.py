"""The tokens that begin, end and fill up a prompt, as transformers' files name and hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FILE = "tokenizer.json"


def mark(said: Mapping[str, Any], name: str, usual: str) -> str:
    """The token `name` of a tokenizer_config.json or special_tokens_map.json, or the usual one."""
    found = said.get(name) or usual
    return str(found["content"] if isinstance(found, Mapping) else found)


def added(marks: Sequence[str], vocab: Mapping[str, int]) -> list[dict[str, Any]]:
    """Those of the marks that the vocabulary has, as tokenizer.json's `added_tokens`."""
    return [
        {
            "id": vocab[each], "content": each, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True,
        }
        for each in dict.fromkeys(marks) if each in vocab
    ]  # fmt: skip
