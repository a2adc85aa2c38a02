"""DALLE-pytorch's dalle.pt: `hparams`, `vae_params` and `weights`, the tokenizer's among them.

The stream is <bos>, L text ids, T image tokens. <bos> is id 0's row, so it becomes our begin vector; an id 0 in a text
becomes the pad of its position, as our texts have them already. Wrappers (`CachedAs`, `NonCached`, `PreShiftToken`) put
a number of `fn.` before a layer, another one in other versions. Source: lucidrains/DALLE-pytorch, dalle_pytorch (MIT).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zoo.adoption import Adoption, Piece, Within
from zoo.errors import ForeignError
from zoo.layouts import Keys, agree
from zoo_dalle.layouts._shapes import EXACT, square

_LOGITS = "to_logits.1.weight"
LAYER = re.compile(
    r"^(?P<net>(?:\w+_)?transformer\.)layers\."
    r"(?:layers\.(?P<layer>\d+)\.(?P<half>[01])|blocks\.(?P<block>\d+)\.(?P<side>[fg])\.net)\.(?P<rest>.+)$"
)
_RESTS = (
    (re.compile(r"^scale$"), "{half_scale}"),
    (re.compile(r"^fn\.norm\.(weight|bias)$"), "{norm}.{0}"),
    (re.compile(r"^fn\.norm_out\.(weight|bias)$"), "{norm}_out.{0}"),
    (re.compile(r"^(?:fn\.)+to_qkv\.weight$"), "attention.qkv.weight"),
    (re.compile(r"^(?:fn\.)+to_out\.0\.(weight|bias)$"), "attention.out.{0}"),
    (re.compile(r"^(?:fn\.)+net\.0\.(weight|bias)$"), "feed.up.{0}"),
    (re.compile(r"^(?:fn\.)+net\.3\.(weight|bias)$"), "feed.down.{0}"),
)
PATTERNS = {
    "full": "full",
    "axial_row": "row",
    "axial_col": "column",
    "conv_like": "conv",
    "sparse": "block",
}


def adopt(keys: Keys, config: Mapping[str, Any] | None) -> Adoption | None:
    """The checkpoint as ours, if it is of this layout."""
    if _LOGITS not in keys or not any(LAYER.match(key) for key in keys):
        return None
    options = (config or {}).get("hparams", config) or {}
    if not {"text_seq_len", "heads"} & set(options):
        raise ForeignError(
            "a DALLE-pytorch model's text length, heads and attention are in its `hparams` alone, which this file "
            "does not hold: put a config.json with `hparams` (and `vae_params`) beside it"
        )
    vae = (config or {}).get("vae_params")
    total, width = keys[_LOGITS]
    length = int(options.get("text_seq_len", 256))
    pieces_of_text = int(options.get("num_text_tokens", 10000))
    ids = pieces_of_text + length
    codes = total - ids
    agree("dim", options.get("dim"), width)
    shared = bool(options.get("share_input_output_emb", False))
    if not shared:
        agree("num_text_tokens + text_seq_len", ids, keys["text_emb.weight"][0])
        agree("the number of image tokens", codes, keys["image_emb.weight"][0])
    grid = _grid(keys, length, vae)
    rename, transforms, layers = blocks(keys, "transformer.", "transformer.blocks.")
    rename |= {
        "to_logits.0.weight": "transformer.norm.weight",
        "to_logits.0.bias": "transformer.norm.bias",
        _LOGITS: "head.weight",
        "to_logits.1.bias": "head.bias",
    }
    text, image = (Piece("text_emb.weight"), Piece("image_emb.weight"))
    if shared:
        text, image = Piece(_LOGITS, 0, ids), Piece(_LOGITS, ids, total)
        del rename[_LOGITS]
    pieces = {"given.embedding.weight": [text], "image_codes.embedding.weight": [image]}
    if shared:
        pieces["head.weight"] = [Piece(_LOGITS)]
    pieces["begin"] = [Piece(text.key, 0, 1)]
    transforms["begin"] = "flatten"
    table = "text_pos_emb.weight" in keys
    agree("rotary_emb", options.get("rotary_emb"), not table)
    if table:
        rename["text_pos_emb.weight"] = "places.places"
        for number, name in enumerate(("rows", "columns")):
            theirs = next(
                (key for dot in "._" if (key := f"image_pos_emb.weights{dot}{number}") in keys),
                None,
            )
            if theirs is None:
                raise ForeignError(
                    f"the checkpoint lacks image_pos_emb.weights.{number}; it is incomplete"
                )
            rename[theirs], transforms[f"places.{name}"] = f"places.{name}", "rows"
    shape = {**_shape(keys, options, layers), "positions": "axial" if table else "none"}
    size = (int((vae or {}).get("image_size") or 256),) * 2
    return Adoption(
        layout="dalle-pytorch",
        config={
            "shape": shape,
            "grid": list(grid),
            "codes": codes,
            "begin": True,
            "null": True,
            "heads": "shared",
            "text": {"length": length, "pieces": pieces_of_text},
        },
        rename=rename,
        transforms=transforms,
        pieces=pieces,
        dropped=(
            "transformer.pos_emb",
            "text_emb.linear.*",
            "image_emb.linear.*",
            "logits_mask",
            "*.static_mask",
        ),
        parts={"tokenizer": _tokenizer(keys, vae, size)},
        image=(int((vae or {}).get("channels") or 3), *size),
        latent=grid,
        codes=codes,
        log_prob=EXACT,
        notes="A prompt is the numbers of its pieces until the vocabulary's tokenizer.json is put into the card.",
    )


def blocks(keys: Keys, net: str, ours: str) -> tuple[dict[str, str], dict[str, str], int]:
    """Of the layers of the transformer `net`: what is renamed, how transformed, and how many there are."""
    rename, transforms, layers = {}, {}, set()
    for key in keys:
        found = LAYER.match(key)
        if found is None or found["net"] != net:
            continue
        layer = found["layer"] or found["block"]
        feed = (found["half"] or found["side"]) in ("1", "g")
        names = {
            "norm": "norm_feed" if feed else "norm_attention",
            "half_scale": "scale_feed" if feed else "scale_attention",
        }
        for pattern, name in _RESTS:
            rest = pattern.match(found["rest"])
            if rest is not None:
                place = f"{ours}{layer}." + name.format(*rest.groups(), **names)
                rename[key] = place
                if name == "{half_scale}":
                    transforms[place] = "flatten"
                layers.add(int(layer))
    return rename, transforms, len(layers)


def _shape(keys: Keys, options: Mapping[str, Any], layers: int) -> dict[str, Any]:
    agree("depth", options.get("depth"), layers)
    heads, head = int(options.get("heads", 8)), int(options.get("dim_head", 64))
    qkv = next(shape for key, shape in keys.items() if key.endswith("to_qkv.weight"))
    agree(f"3 heads dim_head with {heads} heads of {head}", 3 * heads * head, qkv[0])
    up = next(
        shape for key, shape in keys.items() if LAYER.match(key) and key.endswith(".net.0.weight")
    )
    reversible = any(key.startswith("transformer.layers.blocks.") for key in keys)
    agree("reversible", options.get("reversible"), reversible)
    sandwich = any(key.endswith(".norm_out.weight") for key in keys)
    agree("sandwich_norm", options.get("sandwich_norm"), sandwich)
    kinds = options.get("attn_types") or ("full",)
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    unknown = [each for each in kinds if each not in PATTERNS]
    if unknown:
        raise ForeignError(f"attn_types has {unknown[0]!r}; known are {', '.join(PATTERNS)}")
    drop = max(float(options.get(name) or 0) for name in ("attn_dropout", "ff_dropout"))
    rotary = "text_pos_emb.weight" not in keys
    shape: dict[str, Any] = {
        "width": qkv[1],
        "depth": layers,
        "heads": heads,
        "head": head,
        "hidden": up[0] // 2,
        "feed": "geglu",
        "bias_qkv": False,
        "patterns": [PATTERNS[each] for each in kinds],
        "rotary": "dalle" if rotary else "none",
        "shift": bool(options.get("shift_tokens", True)),
        "layer_scale": True,
        "sandwich": sandwich,
        "reversible": reversible,
        "stable": bool(options.get("stable", False)),
        "dropout": drop,
    }
    for name, ours in (("shared_attn_ids", "shared_attention"), ("shared_ff_ids", "shared_feed")):
        if options.get(name) is not None:
            numbers = {each: number for number, each in enumerate(dict.fromkeys(options[name]))}
            shape[ours] = [numbers[each] for each in options[name]]
    return shape


def _grid(keys: Keys, length: int, vae: Mapping[str, Any] | None) -> tuple[int, int]:
    """h, w of the picture's tokens: by the table of positions, the rotations kept, or the tokenizer."""
    for dot in "._":
        rows = keys.get(f"image_pos_emb.weights{dot}0")
        if rows is not None:
            return rows[-3], rows[-3]
    angles = keys.get("transformer.pos_emb")
    if angles is not None:
        return square(angles[1] - length - 1, "transformer.pos_emb")
    if vae:
        side = int(vae.get("image_size", 256)) // 2 ** int(vae.get("num_layers", 3))
        return side, side
    raise ForeignError(
        "how many image tokens there are is in no tensor: put `vae_params` into its config.json"
    )


def _tokenizer(keys: Keys, vae: Mapping[str, Any] | None, size: tuple[int, int]) -> Within:
    """DiscreteVAE, or taming's VQGAN or OpenAI's dVAE, which have no `vae_params`."""
    if any(key.startswith("vae.model.") for key in keys):
        return Within("vae.model.", None, size)
    return Within("vae.", vae, size)
