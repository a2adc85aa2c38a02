"""ruDALL-E: text and a 32 x 32 picture in one stream, sparse layers with sandwich norms, and two norms at the end.

    x = [E_text[c] + places, E_image[t] + row + column],     logits = W LN(LN(blocks(x))) + b

Layer i sees a column where i - 1 divides by 4, the window around in the last, and else the last w + 1 tokens; all see
the text. Pads are a piece a position, the last L of the text's; a text stands between the pieces 2 and 3. The released
files hold weights alone, so their entry of `MODELS` is put beside them: heads and version are in no tensor. What the
text's last position says of the first token is what sampling uses there, though the loss in training did not.
The key list is from the code, not from released weights. Source: ai-forever/ru-dalle, rudalle/dalle (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption, Piece
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, count, need
from zoo_dalle.layouts._shapes import EXACT

_SIGNS = ("text_pos_embeddings.weight", "image_row_embeddings.weight", "to_logits.1.weight")
KERNEL = 11  # side of the last layer's window
FACTOR = 8  # pixels a token of its VQGAN
_LINEAR = {
    "attention.query_key_value": "attention.qkv",
    "attention.dense": "attention.out",
    "mlp.dense_h_to_4h": "feed.up",
    "mlp.dense_4h_to_h": "feed.down",
}
_NORMS = {"input_layernorm": "norm_attention", "post_attention_layernorm": "norm_feed"}
_SANDWICH = {
    "before_first_addition_layernorm": "norm_attention_out",
    "before_second_addition_layernorm": "norm_feed_out",
}


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if not all(sign in keys for sign in _SIGNS):
        return None
    version = (config or {}).get("hf_version")
    params = (config or {}).get("model_params") or {}
    if version is None or "num_attention_heads" not in params:
        raise ForeignError(
            "a ruDALL-E's heads and version are in no tensor: put a config.json beside it with `hf_version` and "
            "`model_params`, as MODELS in rudalle/dalle/__init__.py has them for this model"
        )
    if version != "v3":
        raise ForeignError(
            f"hf_version {version!r}: masks of that version lie a position beside the picture and wrap around its "
            "rim, which is not supported; v3 is (Malevich, Surrealist_XL, Kandinsky)"
        )
    heads = int(params["num_attention_heads"])
    pieces_of_text, width = keys["text_embeddings.weight"]
    codes = keys["image_embeddings.weight"][0]
    side, length = keys["image_row_embeddings.weight"][0], keys["text_pos_embeddings.weight"][0] - 1
    depth = count(keys, "transformer.layers.")
    for name, found in (
        ("num_layers", depth),
        ("hidden_size", width),
        ("vocab_size", pieces_of_text),
        ("image_vocab_size", codes),
        ("image_tokens_per_dim", side),
        ("text_seq_length", length),
    ):
        agree(name, params.get(name), found)
    agree("vocab_size + image_vocab_size", pieces_of_text + codes, keys["to_logits.1.weight"][0])
    sandwich = f"transformer.layers.0.{next(iter(_SANDWICH))}.weight" in keys
    agree("cogview_sandwich_layernorm", params.get("cogview_sandwich_layernorm"), sandwich)
    rename = {
        "text_embeddings.weight": "given.embedding.weight",
        "image_embeddings.weight": "image_codes.embedding.weight",
        "image_row_embeddings.weight": "places.rows",
        "image_col_embeddings.weight": "places.columns",
    }
    for theirs, ours in (
        ("transformer.final_layernorm", "transformer.norm"),
        ("to_logits.0", "transformer.norm_again"),
        ("to_logits.1", "head"),
    ):
        rename |= _both(theirs, ours)
    inside = _LINEAR | _NORMS | (_SANDWICH if sandwich else {})
    for layer in range(depth):
        for theirs, ours in inside.items():
            rename |= _both(
                f"transformer.layers.{layer}.{theirs}", f"transformer.blocks.{layer}.{ours}"
            )
    need(keys, *rename)
    return Adoption(
        layout="rudalle",
        config={
            "shape": {
                "width": width,
                "depth": depth,
                "heads": heads,
                "hidden": keys["transformer.layers.0.mlp.dense_h_to_4h.weight"][0],
                "feed": "gelu-tanh",
                "positions": "axial",
                "patterns": [_pattern(layer, depth) for layer in range(depth)],
                "kernel": KERNEL,
                "sandwich": sandwich,
                "norm_again": True,
                "dropout": float(params.get("attention_dropout_prob") or 0),
            },
            "grid": [side, side],
            "codes": codes,
            "begin": False,
            "null": True,
            "heads": "shared",
            "text": {"length": length, "pieces": pieces_of_text - length, "around": [2, 3]},
        },
        rename=rename,
        pieces={"places.places": [Piece("text_pos_embeddings.weight", 0, length)]},
        dropped=("transformer.*_mask",),
        image=(3, FACTOR * side, FACTOR * side),
        latent=(side, side),
        codes=codes,
        log_prob=EXACT,
        notes="A prompt is the numbers of its pieces (bpe.model, lower case). Its tokenizer, "
        "Sber's Gumbel VQGAN f8, is a file of its own: zoo.compose(THIS, tokenizer=THAT).",
    )


def _both(theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.{kind}": f"{ours}.{kind}" for kind in ("weight", "bias")}


def _pattern(layer: int, depth: int) -> str:
    if (layer - 1) % 4 == 0:
        return "column"
    return "recent" if layer != depth - 1 else "around"
