"""Names and shapes of the tensors of released token transformers, by the rule in their code and their configuration."""

from collections.abc import Mapping
from typing import Any

import mingpt

Sizes = dict[str, tuple[int, ...]]


def mindalle(stage2: Mapping[str, Any]) -> Sizes:
    """Of a Transformer1d with biases (minDALL-E, dalle/models/stage2)."""
    params = stage2["hparams"]
    width = params["embed_dim"]
    found: Sizes = {}
    for half, places in (("img", params["ctx_len_img"]), ("txt", params["ctx_len_txt"])):
        codes = stage2[f"vocab_size_{half}"]
        found[f"tok_emb_{half}.weight"] = found[f"head_{half}.weight"] = (codes, width)
        found[f"pos_emb_{half}.weight"] = (places, width)
    return found | mingpt.sizes(width, params["n_layers"])


def rudalle(params: Mapping[str, Any]) -> Sizes:
    """Of a DalleModel with sandwich norms (ruDALL-E, rudalle/dalle), its masks included."""
    width, text, codes = (
        params[each] for each in ("hidden_size", "vocab_size", "image_vocab_size")
    )
    length, side = params["text_seq_length"], params["image_tokens_per_dim"]
    found: Sizes = {
        "text_embeddings.weight": (text, width),
        "image_embeddings.weight": (codes, width),
        "text_pos_embeddings.weight": (length + 1, width),
        "image_row_embeddings.weight": (side, width),
        "image_col_embeddings.weight": (side, width),
        "to_logits.1.weight": (text + codes, width),
        "to_logits.1.bias": (text + codes,),
    }
    norms = ["transformer.final_layernorm", "to_logits.0"]
    for layer in range(params["num_layers"]):
        name = f"transformer.layers.{layer}."
        norms += [name + each for each in ("input_layernorm", "post_attention_layernorm")]
        norms += [f"{name}before_{each}_addition_layernorm" for each in ("first", "second")]
        for linear, rows, columns in (
            ("attention.query_key_value", 3 * width, width),
            ("attention.dense", width, width),
            ("mlp.dense_h_to_4h", 4 * width, width),
            ("mlp.dense_4h_to_h", width, 4 * width),
        ):
            found |= {f"{name}{linear}.weight": (rows, columns), f"{name}{linear}.bias": (rows,)}
    for each in norms:
        found |= {f"{each}.weight": (width,), f"{each}.bias": (width,)}
    total = length + side * side
    return found | {f"transformer.{each}_mask": (total, total) for each in ("row", "col", "conv")}


def dalle_mini(config: Mapping[str, Any]) -> Sizes:
    """Of a DalleBart, scanned: the layers of a half one above the other (dalle_mini/model/modeling.py)."""
    width, codes = config["d_model"], config["image_vocab_size"] + 1
    found: Sizes = {"lm_head/kernel": (width, codes)}
    for half, rows, places in (
        ("encoder", config["encoder_vocab_size"], config["max_text_length"]),
        ("decoder", codes, config["image_length"]),
    ):
        found |= {
            f"model/{half}/embed_tokens/embedding": (rows, width),
            f"model/{half}/embed_positions/embedding": (places, width),
            f"model/{half}/layernorm_embedding/scale": (width,),
            f"model/{half}/layernorm_embedding/bias": (width,),
            f"model/{half}/final_ln/bias": (width,),
        }
        depth, hidden = config[f"{half}_layers"], config[f"{half}_ffn_dim"]
        inner: Sizes = {
            "GLU_0/LayerNorm_0/bias": (width,),
            "GLU_0/LayerNorm_1/bias": (hidden,),
            "GLU_0/Dense_0/kernel": (width, hidden),
            "GLU_0/Dense_1/kernel": (width, hidden),
            "GLU_0/Dense_2/kernel": (hidden, width),
        }
        for number in range(2 if half == "decoder" else 1):
            inner |= {
                f"FlaxBartAttention_{number}/{each}_proj/kernel": (width, width)
                for each in ("q", "k", "v", "out")
            }
            inner |= {
                f"LayerNorm_{2 * number}/bias": (width,),
                f"LayerNorm_{2 * number + 1}/bias": (width,),
                f"LayerNorm_{2 * number + 1}/scale": (width,),
            }
        stem = f"model/{half}/layers/FlaxBart{half.capitalize()}Layers/"
        found |= {stem + name: (depth, *size) for name, size in inner.items()}
    return found
