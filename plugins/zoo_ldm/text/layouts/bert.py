"""The transformer in CompVis' text-to-image model, BERTEmbedder: BERT's vocabulary, weights trained with the U-Net.

    attn_layers.layers.{2i}      a norm and attention, without biases of q, k and v, heads of 64 channels
    attn_layers.layers.{2i + 1}  a norm and two layers at each position: net.0.0 (GELU) or net.0.proj (gated), net.2
    to_logits.*                  of the class; a condition is the rows before it, which are not scaled

(Rombach et al., 2022, arXiv:2112.10752, section 4.3.1; the class is that of ldm/modules/x_transformer.py.) The
vocabulary is no part of the weights: `tokenizer` in the configuration is what lay beside them (`zoo.foreign.configs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption, Piece
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, count, need
from zoo.nn.text import Vocabulary
from zoo_ldm.text.layouts._marks import FILE, added, mark
from zoo_ldm.text.transformer import BERT

_PREFIXES = ("transformer.", "")
_TOKENS, _PLACES = "token_emb.weight", "pos_emb.emb.weight"
_LAYERS = "attn_layers.layers."
_HEAD = 64  # channels of a head, in every model of the class
_UNKNOWN, _MASK = "[UNK]", "[MASK]"


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    signs = (_TOKENS, f"{_LAYERS}0.1.to_q.weight")
    prefix = next((p for p in _PREFIXES if all(f"{p}{each}" in keys for each in signs)), None)
    if prefix is None:
        return None
    said, layers = config or {}, f"{prefix}{_LAYERS}"
    depth, odd = divmod(count(keys, layers), 2)
    if odd or not depth:
        raise ForeignError(
            f"{2 * depth + odd} of {layers}*: attention and layers at each position take turns, so their number is even"
        )
    gated = f"{layers}1.1.net.0.proj.weight" in keys
    first = "net.0.proj" if gated else "net.0.0"
    for i in range(depth):
        need(keys, f"{layers}{2 * i}.1.to_q.weight", f"{layers}{2 * i + 1}.1.{first}.weight")
    need(keys, f"{prefix}{_PLACES}", f"{layers}1.1.net.2.weight", f"{prefix}norm.weight")
    (size, width), length = keys[f"{prefix}{_TOKENS}"], keys[f"{prefix}{_PLACES}"][0]
    inner, hidden = keys[f"{layers}0.1.to_q.weight"][0], keys[f"{layers}1.1.net.2.weight"][1]
    if inner % _HEAD:
        raise ForeignError(f"heads of {_HEAD} channels do not divide to_q's {inner}")
    for name, found in (
        ("n_embed", width),
        ("n_layer", depth),
        ("vocab_size", size),
        ("max_seq_len", length),
    ):
        agree(name, said.get(name), found)
    ours: dict[str, Any] = {
        "size": size, "length": length, "width": width, "depth": depth, "heads": inner // _HEAD, "hidden": hidden,
        "activation": "gelu", "marks": list(BERT), "causal": False, "inner": inner, "bias": False, "gated": gated,
    }  # fmt: skip
    notes, files = "", {}
    if "tokenizer" in said:
        files[FILE], ours["marks"] = vocabulary(said["tokenizer"])
        ours["vocabulary"] = {"file": FILE}
        agree("the size of the vocabulary", Vocabulary(files[FILE], length).size, size)
    else:
        notes = "It came without its vocabulary: put vocab.txt of bert-base-uncased beside it, to give it texts."
    return Adoption(
        layout="compvis-bert-text",
        config=ours,
        rename=_renames(prefix, depth, first),
        pieces={
            f"blocks.{i}.qkv.weight": [
                Piece(f"{layers}{2 * i}.1.to_{each}.weight") for each in "qkv"
            ]
            for i in range(depth)
        },
        dropped=(f"{prefix}to_logits.*",),
        image=(1, length, width),
        hooks=(),
        notes=notes,
        files=files,
    )


def _renames(prefix: str, depth: int, first: str) -> dict[str, str]:
    names = {"norm": "norm"}
    for i in range(depth):
        attends, feeds, own = f"{_LAYERS}{2 * i}", f"{_LAYERS}{2 * i + 1}", f"blocks.{i}"
        names |= {
            f"{attends}.0": f"{own}.norm1",
            f"{attends}.1.to_out": f"{own}.out",
            f"{feeds}.0": f"{own}.norm2",
            f"{feeds}.1.{first}": f"{own}.up",
            f"{feeds}.1.net.2": f"{own}.down",
        }
    return {f"{prefix}{_TOKENS}": "embed.weight", f"{prefix}{_PLACES}": "places"} | {
        f"{prefix}{theirs}.{kind}": f"{own}.{kind}"
        for theirs, own in names.items()
        for kind in ("weight", "bias")
    }


def vocabulary(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The content of a tokenizer.json and the marks of `TextTransformer`, of what lay beside the weights.

    `given` has the content of tokenizer.json (`whole`), or `words`, the lines of vocab.txt, as BERT was published; and
    perhaps `said`, tokenizer_config.json or special_tokens_map.json. Raises ForeignError for another's vocabulary.
    """
    said = given.get("said") or {}
    names = ("cls_token", "sep_token", "pad_token")
    marks = [mark(said, name, usual) for name, usual in zip(names, BERT, strict=True)]
    if "whole" in given:
        return dict(given["whole"]), marks
    if "words" not in given:
        raise ForeignError(
            f"a vocabulary of {' and '.join(sorted(set(given) - {'said'}))} lies beside the weights, and this text "
            "encoder reads BERT's: vocab.txt, or tokenizer.json"
        )
    vocab = {word: number for number, word in enumerate(given["words"])}
    unknown = mark(said, "unk_token", _UNKNOWN)
    special = [*marks, unknown, mark(said, "mask_token", _MASK)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added(special, vocab),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
            "lowercase": said.get("do_lower_case", True),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    }, marks  # fmt: skip
