"""dalle-mini's DalleBart, flax_model.msgpack: one half reads the text, the other draws (`zoo_dalle.across`).

Layers lie one above the other in one array (nn.scan, `FlaxBartDecoderLayers`) or each for itself
(`FlaxBartDecoderLayer_3`). Tables have more rows than there are codes, to be cut evenly over processes: dalle-mega's
16,416 begin with the last, and its VQGAN, as dalle-mini's, has 16,384 codes; rows beyond are never drawn. What is not
here of DalleBartConfig's variants (Swin, DeepNet, ...) is refused; dalle-mini and dalle-mega are. The key list is from
the code, not from released weights. Source: borisdayma/dalle-mini, dalle_mini/model (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.adoption import Adoption, Piece
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree, need
from zoo_dalle.layouts._shapes import EXACT, square

_SIGNS = ("model/decoder/layernorm_embedding/scale", "lm_head/kernel")
FACTOR, CODES = 16, 16384  # pixels a token, and codes, of its VQGAN
PAD, AROUND = 1, [0, 2]  # of its tokenizer.json
# What DalleBartConfig says unless told, and has to say here.
ONLY: Mapping[str, Any] = {
    "activation_function": "gelu",
    "force_ln_scale": False,
    "ln_positions": "normformer",
    "ln_type": "layernorm",
    "scale_embedding": False,
    "sinkhorn_iters": 1,
    "tie_word_embeddings": False,
    "use_absolute_position_embeddings": True,
    "use_alibi": False,
    "use_bias": False,
    "use_cosine_attention": False,
    "use_deepnet_scaling": False,
    "use_final_ln_decoder": True,
    "use_final_ln_encoder": True,
    "use_glu": True,
    "use_head_scale": False,
    "use_swin_position_embeddings": False,
}
_ATTENTION = {"qkv.weight": ("q_proj", "k_proj", "v_proj"), "out.weight": ("out_proj",)}
_LOOK = {
    "query.weight": ("q_proj",),
    "read.weight": ("k_proj", "v_proj"),
    "out.weight": ("out_proj",),
}
_NORM = ("weight", "scale"), ("bias", "bias")


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if not all(sign in keys for sign in _SIGNS):
        return None
    params = config or {}
    if "decoder_attention_heads" not in params or "encoder_attention_heads" not in params:
        raise ForeignError(
            "a dalle-mini's heads are in no tensor: put its config.json beside it (`decoder_attention_heads`, ...)"
        )
    for name, value in ONLY.items():
        if params.get(name, value) != value:
            raise ForeignError(f"{name} = {params[name]!r} is not supported; {value!r} is")
    pieces_of_text, width = _rows(keys, "model/encoder/embed_tokens/embedding")
    rows = _rows(keys, "model/decoder/embed_tokens/embedding")[0]
    length = _rows(keys, "model/encoder/embed_positions/embedding")[0]
    cells = _rows(keys, "model/decoder/embed_positions/embedding")[0]
    begin = int(params.get("decoder_start_token_id", rows - 1))
    codes = min(begin, CODES)
    for name, found in (
        ("d_model", width),
        ("encoder_vocab_size", pieces_of_text),
        ("image_vocab_size", rows - 1),
        ("max_text_length", length),
        ("image_length", cells),
    ):
        agree(name, params.get(name), found)
    if not 0 < begin < rows:
        raise ForeignError(f"decoder_start_token_id is {begin}, of a table of {rows} rows")
    ours: dict[str, list[Piece]] = {}
    sizes = {}
    for half, layers, place in (
        ("encoder", "given.reader.layers", "given.reader"),
        ("decoder", "transformer.blocks", "transformer"),
    ):
        sizes[half] = _half(keys, half, params, layers, ours)
        ours[f"{place}.places"] = [Piece(f"model/{half}/embed_positions/embedding")]
        ours[f"{place}.norm.bias"] = [Piece(f"model/{half}/final_ln/bias")]
        for mine, theirs in _NORM:
            ours[f"{place}.norm_in.{mine}"] = [Piece(f"model/{half}/layernorm_embedding/{theirs}")]
    table = "model/decoder/embed_tokens/embedding"
    ours["given.reader.embedding.weight"] = [Piece("model/encoder/embed_tokens/embedding")]
    ours["image_codes.embedding.weight"] = [Piece(table, 0, codes)]
    ours["image_codes.head.weight"] = [Piece("lm_head/kernel", 0, codes, "transpose")]
    ours["begin"] = [Piece(table, begin, begin + 1)]
    need(keys, *(piece.key for pieces in ours.values() for piece in pieces))
    grid = square(cells, "image_length")
    size = (FACTOR * grid[0], FACTOR * grid[1])
    return Adoption(
        layout="dalle-mini",
        config={
            "shape": {"width": width, "across": True, **sizes["decoder"]},
            "grid": list(grid),
            "codes": codes,
            "begin": True,
            "null": True,
            "head_bias": False,
            "text": {
                "length": length,
                "pieces": pieces_of_text,
                "pad": PAD,
                "around": AROUND,
                "reader": sizes["encoder"],
            },
        },
        rename={},
        transforms={"begin": "flatten"},
        pieces=ours,
        image=(3, *size),
        latent=grid,
        codes=codes,
        log_prob=EXACT,
        notes="A prompt is the numbers of its pieces (tokenizer.json, of normalised text). Its tokenizer, a VQGAN "
        "f16 of 16384 codes (taming's will do), is a file of its own: zoo.compose(THIS, tokenizer=THAT).",
    )


def _half(
    keys: Keys, half: str, params: Mapping[str, Any], place: str, ours: dict[str, list[Piece]]
) -> dict[str, Any]:
    """Lay the layers of a half out in `ours`, under `place`: how many there are, their heads and inner width."""
    stem = f"model/{half}/layers/FlaxBart{half.capitalize()}Layer"
    scanned = any(key.startswith(f"{stem}s/") for key in keys)
    first = f"{stem}s/" if scanned else f"{stem}_0/"
    shape = _rows(keys, f"{first}GLU_0/Dense_0/kernel")
    named = {key.removeprefix(f"{stem}_").partition("/")[0] for key in keys}
    depth = shape[0] if scanned else sum(each.isdigit() for each in named)
    agree(f"{half}_layers", params.get(f"{half}_layers"), depth)
    agree(f"{half}_ffn_dim", params.get(f"{half}_ffn_dim"), shape[-1])

    def linear(layer: int, *names: str) -> list[Piece]:
        if not scanned:
            return [Piece(f"{stem}_{layer}/{name}/kernel", transform="transpose") for name in names]
        return [_layer(keys, f"{stem}s/{name}/kernel", layer, "stacked") for name in names]

    def vector(layer: int, name: str) -> list[Piece]:
        if not scanned:
            return [Piece(f"{stem}_{layer}/{name}")]
        return [_layer(keys, f"{stem}s/{name}", layer, "flatten")]

    norms = ["before", "after"] + (["before_look", "after_look"] if half == "decoder" else [])
    kinds: Sequence[tuple[str, Mapping[str, tuple[str, ...]]]] = [("attention", _ATTENTION)]
    kinds = [*kinds, ("look", _LOOK)] if half == "decoder" else kinds
    for layer in range(depth):
        mine = f"{place}.{layer}."
        for number, norm in enumerate(norms):
            for name, theirs in _NORM if norm.startswith("after") else _NORM[1:]:
                ours[f"{mine}{norm}.{name}"] = vector(layer, f"LayerNorm_{number}/{theirs}")
        for number, (kind, parts) in enumerate(kinds):
            for name, every in parts.items():
                several = [f"FlaxBartAttention_{number}/{each}" for each in every]
                ours[f"{mine}{kind}.{name}"] = linear(layer, *several)
        ours[f"{mine}before_feed.bias"] = vector(layer, "GLU_0/LayerNorm_0/bias")
        ours[f"{mine}inside_feed.bias"] = vector(layer, "GLU_0/LayerNorm_1/bias")
        ours[f"{mine}up.weight"] = linear(layer, "GLU_0/Dense_1", "GLU_0/Dense_0")
        ours[f"{mine}down.weight"] = linear(layer, "GLU_0/Dense_2")
    heads = int(params[f"{half}_attention_heads"])
    return {"depth": depth, "heads": heads, "hidden": shape[-1]}


def _layer(keys: Keys, key: str, layer: int, transform: str) -> Piece:
    """One layer's rows of an array of all."""
    rows = _rows(keys, key)[-1]
    return Piece(key, layer * rows, (layer + 1) * rows, transform)


def _rows(keys: Keys, key: str) -> tuple[int, ...]:
    """The shape of a tensor. Raises ForeignError if it is not there."""
    need(keys, key)
    return keys[key]
