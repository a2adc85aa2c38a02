"""CLIP's text half as transformers' CLIPTextModel names it, with `text_model.` before the names or (since 5) without.

The vocabulary is no part of the weights: `tokenizer` in the configuration is what lay beside them
(`zoo.foreign.configs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption, Piece
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, count, need
from zoo_ldm.text.layouts._marks import FILE, added, mark
from zoo_ldm.text.transformer import ACTIVATIONS, CLIP

_PREFIXES = ("text_model.", "")
_TOKENS, _PLACES = "embeddings.token_embedding.weight", "embeddings.position_embedding.weight"
_HEAD = 64  # channels of an attention head in every published CLIP
_NAMES = {
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "self_attn.out_proj": "out",
    "mlp.fc1": "up",
    "mlp.fc2": "down",
}
_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    prefix = next((each for each in _PREFIXES if f"{each}{_TOKENS}" in keys), None)
    if prefix is None or any("vision_model." in key for key in keys):
        return None
    said = config or {}
    layers = f"{prefix}encoder.layers."
    depth = count(keys, layers)
    need(
        keys, f"{prefix}{_PLACES}", f"{layers}0.mlp.fc1.weight", f"{prefix}final_layer_norm.weight"
    )
    (size, width), length = keys[f"{prefix}{_TOKENS}"], keys[f"{prefix}{_PLACES}"][0]
    hidden = keys[f"{layers}0.mlp.fc1.weight"][0]
    for name, found in (
        ("vocab_size", size),
        ("hidden_size", width),
        ("max_position_embeddings", length),
        ("num_hidden_layers", depth),
        ("intermediate_size", hidden),
    ):
        agree(name, said.get(name), found)
    heads = int(said.get("num_attention_heads") or max(1, width // _HEAD))
    activation = said.get("hidden_act", "quick_gelu")
    if activation not in ACTIVATIONS:
        raise ForeignError(
            f"hidden_act {activation!r} is not supported; there are {', '.join(ACTIVATIONS)}"
        )
    ours: dict[str, Any] = {
        "size": size, "length": length, "width": width, "depth": depth, "heads": heads, "hidden": hidden,
        "activation": activation, "eps": float(said.get("layer_norm_eps", 1e-5)),
    }  # fmt: skip
    if said.get("eos_token_id", 2) != 2:  # 2: of files older than the config's right value
        ours["end"] = int(said["eos_token_id"])
    notes, files = "", {}
    if "tokenizer" in said:
        files[FILE], ours["marks"] = vocabulary(said["tokenizer"])
        ours["vocabulary"] = {"file": FILE}
    else:
        notes = "It came without its vocabulary: put vocab.json and merges.txt beside it, to give it texts."
    if "num_attention_heads" not in said:
        notes = f"No configuration: {_HEAD} channels a head, as in every published CLIP. {notes}".rstrip()
    return Adoption(
        layout="transformers-clip-text",
        config=ours,
        rename=_renames(keys, prefix, depth),
        pieces={
            f"blocks.{i}.qkv.{kind}": [
                Piece(f"{layers}{i}.self_attn.{each}_proj.{kind}") for each in "qkv"
            ]
            for i in range(depth)
            for kind in ("weight", "bias")
        },
        dropped=(f"{prefix}embeddings.position_ids", "text_projection.weight"),
        image=(1, length, width),
        hooks=(),
        notes=notes,
        files=files,
    )


def _renames(keys: Keys, prefix: str, depth: int) -> dict[str, str]:
    rename = {
        f"{prefix}{_TOKENS}": "embed.weight",
        f"{prefix}{_PLACES}": "places",
        f"{prefix}final_layer_norm.weight": "norm.weight",
        f"{prefix}final_layer_norm.bias": "norm.bias",
    }
    for i in range(depth):
        for theirs, own in _NAMES.items():
            for kind in ("weight", "bias"):
                rename[f"{prefix}encoder.layers.{i}.{theirs}.{kind}"] = f"blocks.{i}.{own}.{kind}"
    return rename


def vocabulary(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The content of a tokenizer.json and the marks of `TextTransformer`, of what lay beside the weights.

    `given` has the content of tokenizer.json (`whole`), or `vocab` and `merges`, as CLIP was published; and perhaps
    `said`, tokenizer_config.json or special_tokens_map.json. Raises ForeignError for another's vocabulary.
    """
    said = given.get("said") or {}
    marks = [mark(said, "bos_token", CLIP[0]), mark(said, "eos_token", CLIP[1])]
    marks.append(mark(said, "pad_token", marks[1]))
    if "whole" in given:
        return dict(given["whole"]), marks
    if "vocab" not in given:
        raise ForeignError(
            "vocab.txt lies beside the weights, and this text encoder reads CLIP's vocabulary: vocab.json and "
            "merges.txt, or tokenizer.json"
        )
    split = {
        "type": "Split", "pattern": {"Regex": _WORDS}, "behavior": "Removed", "invert": True,
    }  # fmt: skip
    level = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True,
    }  # fmt: skip
    spaces = {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added(marks, given["vocab"]),
        "normalizer": {
            "type": "Sequence", "normalizers": [{"type": "NFC"}, spaces, {"type": "Lowercase"}]
        },
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": marks[1], "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": False, "byte_fallback": False,
            "vocab": given["vocab"], "merges": list(given["merges"]),
        },
    }, marks  # fmt: skip
