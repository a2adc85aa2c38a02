"""minDALL-E's Transformer1d: minGPT's blocks over L text pieces and then a 16 x 16 picture, with a head each.

    x = [E_text[c] + places_text, E_image[t] + places_image]

Short prompts end in the vocabulary's [PAD], one piece at every position that is left. Released as two files beside a
config.yaml with `stage1` and `stage2`: stage1_last.ckpt is a VQGAN of taming's layout and adopted as such, and
stage2_last.ckpt is this; a file of the whole `Dalle` has both. The key list is from the code, not from released
weights. Source: kakaobrain/minDALL-E, dalle/models (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption, Piece, Within
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree
from zoo_dalle.layouts._shapes import EXACT, mingpt, square

_SIGNS = ("tok_emb_txt.weight", "tok_emb_img.weight", "pos_emb_txt.weight", "head_img.weight")
_FIRST, _SECOND = "stage1.", "stage2."


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    within = _SECOND if _SECOND + _SIGNS[0] in keys else ""
    if not all(within + sign in keys for sign in _SIGNS):
        return None
    options = (config or {}).get("stage2") or {}
    params = options.get("hparams") or {}
    if "n_heads" not in params or "pad" not in options:
        raise ForeignError(
            "a minDALL-E's heads and its pad are in no tensor: put its config.yaml beside it "
            "(`stage2.hparams.n_heads`), and under `stage2` a line `pad: N`, the number of [PAD] in its "
            "tokenizer/bpe-16k-vocab.json"
        )
    if params.get("gelu_use_approx"):
        raise ForeignError("gelu_use_approx: x sigmoid(1.702 x) in place of gelu is not supported")
    pieces_of_text, width = keys[f"{within}tok_emb_txt.weight"]
    codes = keys[f"{within}tok_emb_img.weight"][0]
    length, cells = (keys[f"{within}pos_emb_{each}.weight"][0] for each in ("txt", "img"))
    shape, rename, pieces = mingpt(keys, within, int(params["n_heads"]))
    for name, said, found in (
        ("vocab_size_txt", options.get("vocab_size_txt"), pieces_of_text),
        ("vocab_size_img", options.get("vocab_size_img"), codes),
        ("embed_dim", params.get("embed_dim"), width),
        ("n_layers", params.get("n_layers"), shape["depth"]),
        ("ctx_len_txt", params.get("ctx_len_txt"), length),
        ("ctx_len_img", params.get("ctx_len_img"), cells),
    ):
        agree(name, said, found)
    pad = int(options["pad"])
    if not 0 <= pad < pieces_of_text:
        raise ForeignError(f"stage2.pad is {pad}, but the pieces are 0 .. {pieces_of_text - 1}")
    first = f"{within}blocks.0."
    shape |= {
        "bias": f"{first}mlp.0.bias" in keys,
        "dropout": max(float(params.get(name) or 0) for name in ("resid_pdrop", "attn_pdrop")),
    }
    agree("mlp_bias", params.get("mlp_bias"), shape["bias"])
    agree("attn_bias", params.get("attn_bias"), f"{first}attn.query.bias" in keys)
    agree(
        "attn_bias, which must be as mlp_bias here,",
        shape["bias"],
        f"{first}attn.proj.bias" in keys,
    )
    rename |= {
        f"{within}tok_emb_txt.weight": "given.embedding.weight",
        f"{within}tok_emb_img.weight": "image_codes.embedding.weight",
        f"{within}head_txt.weight": "text_head.weight",
        f"{within}head_img.weight": "image_codes.head.weight",
    }
    pieces["places.places"] = [Piece(f"{within}pos_emb_{each}.weight") for each in ("txt", "img")]
    grid = square(cells, "ctx_len_img")
    first_stage = ((config or {}).get("stage1") or {}).get("hparams") or {}
    levels = len(first_stage.get("ch_mult") or range(5))
    size = (grid[0] * 2 ** (levels - 1), grid[1] * 2 ** (levels - 1))
    whole = any(key.startswith(f"{_FIRST}encoder.") for key in keys)
    told = "A prompt is the numbers of its pieces: CharBPETokenizer, lower case, bpe-16k."
    apart = (
        " Its tokenizer (stage1_last.ckpt) is a file of its own: zoo.compose(THIS, tokenizer=THAT)."
    )
    return Adoption(
        layout="mindalle",
        config={
            "shape": shape,
            "grid": list(grid),
            "codes": codes,
            "begin": False,
            "null": True,
            "head_bias": False,
            "text": {"length": length, "pieces": pieces_of_text, "pad": pad},
        },
        rename=rename,
        pieces=pieces,
        dropped=("*.attn.mask",),
        parts={"tokenizer": Within(_FIRST, None, size)} if whole else {},
        image=(3, *size),
        latent=grid,
        codes=codes,
        log_prob=EXACT,
        notes=told if whole else told + apart,
    )
