"""Released sizes: every tensor of the files' own code at their published configuration has its place in our net.

On the meta device. The configurations are minDALL-E's configs/dalle-1.3B.yaml, ruDALL-E's MODELS and dalle-mini's
tools/train/config, with the sizes of the released mini and mega as kuprel/min-dalle loads them.
"""

import json
from typing import Any

import pytest
import released

from zoo.parity.published import published
from zoo_dalle import layouts

MINDALLE: dict[str, Any] = {
    "vocab_size_txt": 16384,
    "vocab_size_img": 16384,
    "pad": 0,  # of a file that is not at hand
    "hparams": {
        "embed_dim": 1536,
        "n_layers": 42,
        "n_heads": 24,
        "ctx_len_img": 256,
        "ctx_len_txt": 64,
        "mlp_bias": True,
        "attn_bias": True,
        "gelu_use_approx": False,
    },
}
MALEVICH: dict[str, Any] = {
    "num_layers": 24,
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "image_tokens_per_dim": 32,
    "text_seq_length": 128,
    "cogview_sandwich_layernorm": True,
    "cogview_pb_relax": True,
    "vocab_size": 16384 + 128,
    "image_vocab_size": 8192,
}
KANDINSKY = MALEVICH | {"num_layers": 64, "hidden_size": 3840, "num_attention_heads": 60}


def mini(layers: int, width: int, heads: int, hidden: int, pieces: int, codes: int) -> Any:
    halves = ("encoder", "decoder")
    return {
        "d_model": width,
        "encoder_vocab_size": pieces,
        "image_vocab_size": codes,
        "decoder_start_token_id": codes,
        "max_text_length": 64,
        "image_length": 256,
        **{f"{half}_layers": layers for half in halves},
        **{f"{half}_attention_heads": heads for half in halves},
        **{f"{half}_ffn_dim": hidden for half in halves},
    }


MINI = mini(12, 1024, 16, 2730, 50264, 16384)
MEGA = mini(24, 2048, 32, 4096, 50272, 16415)
RELEASED = {
    "minDALL-E 1.3B": ({"stage2": MINDALLE}, released.mindalle(MINDALLE), 16384),
    "Malevich": ({"hf_version": "v3", "model_params": MALEVICH}, released.rudalle(MALEVICH), 8192),
    "Kandinsky": (
        {"hf_version": "v3", "model_params": KANDINSKY},
        released.rudalle(KANDINSKY),
        8192,
    ),
    "dalle-mini": (MINI, released.dalle_mini(MINI), 16384),
    "dalle-mega": (MEGA, released.dalle_mini(MEGA), 16384),
    "dalle-mega, told to begin below its last row": (
        MEGA | {"decoder_start_token_id": 16384},
        released.dalle_mini(MEGA),
        16384,
    ),
}


@pytest.mark.parametrize("name", RELEASED)
def test_every_tensor_has_its_place(name, tmp_path):
    config, keys, codes = RELEASED[name]
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"config": config, "keys": keys}))
    report = published(path)
    assert report.ok, str(report)
    adoption = layouts.adopt(keys, config)
    assert adoption is not None
    assert adoption.codes == codes
