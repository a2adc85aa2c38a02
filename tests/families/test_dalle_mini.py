"""dalle-mini, its keys made from its published code at a small size: the same logits as its formulas, and refusals."""

import json
from typing import Any

import mingpt
import pytest
import released
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from zoo.errors import ForeignError, RequestError
from zoo.foreign_models import load_foreign
from zoo_dalle import layouts, scoring

WIDTH, HEADS, HIDDEN, PIECES, LENGTH, CODES, CELLS = 8, 2, 12, 11, 6, 7, 4
DEPTHS = {"encoder": 2, "decoder": 3}
CONFIG: dict[str, Any] = {
    "d_model": WIDTH,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "decoder_start_token_id": CODES,
    "encoder_ffn_dim": HIDDEN,
    "decoder_ffn_dim": HIDDEN,
    "encoder_vocab_size": PIECES,
    "max_text_length": LENGTH,
    "image_length": CELLS,
    "image_vocab_size": CODES + 3,
}


def state() -> mingpt.Weights:
    return mingpt.drawn(released.dalle_mini(CONFIG))


def parted(w: mingpt.Weights) -> mingpt.Weights:
    """The same with each layer for itself."""
    found = {}
    for name, value in w.items():
        stem, between, rest = name.partition("Layers/")
        if between:
            found |= {f"{stem}Layer_{n}/{rest}": each.clone() for n, each in enumerate(value)}
        else:
            found[name] = value
    return found


def half(w: mingpt.Weights, name: str, ids: torch.Tensor, mask: torch.Tensor, e=None, seen=None):
    """FlaxBartEncoder or FlaxBartDecoder, (B, n) to (B, n, C)."""

    def norm(x: torch.Tensor, at: str, layer: int | None = None) -> torch.Tensor:
        scale, bias = (w.get(f"{at}/{each}") for each in ("scale", "bias"))
        if layer is not None:
            scale, bias = None if scale is None else scale[layer], bias[layer]
        return F.layer_norm(x, x.shape[-1:], scale, bias)

    def attend(at: str, layer: int, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor):
        q, k, v = (
            (each @ w[f"{at}/{part}_proj/kernel"][layer]).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part, each in (("q", x), ("k", y), ("v", y))
        )
        scores = (q @ k.mT / (WIDTH // HEADS) ** 0.5).masked_fill(~mask, -torch.inf)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return mixed @ w[f"{at}/out_proj/kernel"][layer]

    at = f"model/{name}/"
    x = w[f"{at}embed_tokens/embedding"][ids] + w[f"{at}embed_positions/embedding"][: ids.shape[1]]
    x = norm(x, f"{at}layernorm_embedding")
    stem = f"{at}layers/FlaxBart{name.capitalize()}Layers/"
    for layer in range(DEPTHS[name]):
        y = norm(x, f"{stem}LayerNorm_0", layer)
        y = attend(f"{stem}FlaxBartAttention_0", layer, y, y, mask)
        x = x + norm(y, f"{stem}LayerNorm_1", layer)
        if e is not None:
            y = norm(x, f"{stem}LayerNorm_2", layer)
            y = attend(f"{stem}FlaxBartAttention_1", layer, y, e, seen)
            x = x + norm(y, f"{stem}LayerNorm_3", layer)
        y = norm(x, f"{stem}GLU_0/LayerNorm_0", layer)
        first, second = (y @ w[f"{stem}GLU_0/Dense_{n}/kernel"][layer] for n in (0, 1))
        y = norm(F.gelu(first) * second, f"{stem}GLU_0/LayerNorm_1", layer)
        x = x + y @ w[f"{stem}GLU_0/Dense_2/kernel"][layer]
    return norm(x, f"{at}final_ln")


def logits(w: mingpt.Weights, text: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """(B, T, K) of each token given those before it."""
    inside = (text != 1)[:, None, None]
    e = half(w, "encoder", text, inside)
    fed = torch.cat([torch.full_like(image[:, :1], CODES), image[:, :-1]], 1)
    causal = torch.ones(CELLS, CELLS).tril().bool()
    return (half(w, "decoder", fed, causal, e, inside) @ w["lm_head/kernel"])[..., :CODES]


@pytest.mark.parametrize("change", [dict, parted], ids=["scanned", "each for itself"])
def test_its_logits_are_those_of_the_published_formulas(tmp_path, change):
    weights = state()
    save_file(change(weights), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    model = load_foreign(tmp_path / "model.safetensors")
    image = torch.tensor([[1, 6, 0, 3], [2, 2, 5, 4]])
    cond = model.condition(text=["4 9", "3 10 5 8"])._cond(2)
    ids = torch.tensor([[0, 4, 9, 2, 1, 1], [0, 3, 10, 5, 8, 2]])
    assert torch.equal(cond.prefix, ids)
    assert model.net.given.nothing(1).tolist() == [[0, 2, 1, 1, 1, 1]]
    wanted = logits(weights, ids, image)
    with torch.no_grad():
        torch.testing.assert_close(model.net.logits(image, cond), wanted, rtol=1e-4, atol=1e-4)
        walk = scoring.Walk(model.net, 2, cond)
        for t in range(CELLS):
            step = wanted[:, t].softmax(-1)
            torch.testing.assert_close(walk.probabilities(), step, rtol=1e-4, atol=1e-5)
            walk.push(image[:, t])


def test_drawing_goes_by_the_same_probabilities(tmp_path):
    """Two candidates of one prompt share what was read; guidance puts the empty text beside it."""
    weights = state()
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    net = load_foreign(tmp_path / "model.safetensors").net
    from zoo import rng
    from zoo_dalle.asking import asked
    from zoo_dalle.sampling import draw

    def drawn(texts, **options):
        cond = asked(net, {"text": texts}, 2)
        every = {"temperature": 0.0, "guidance": 3.0, **options}
        return draw(net, 2, cond, every, rng.generator(0), lambda each, total=None, label="": each)[
            0
        ]

    for texts, ids in (
        ("4 9", [[0, 4, 9, 2, 1, 1]] * 2),
        (["4 9", "3 10 5 8"], [[0, 4, 9, 2, 1, 1], [0, 3, 10, 5, 8, 2]]),
    ):
        image = drawn(texts)
        given = logits(weights, torch.tensor(ids), image)
        null = logits(weights, torch.tensor([[0, 2, 1, 1, 1, 1]] * 2), image)
        assert torch.equal(image, (null + 3 * (given - null)).argmax(-1))
    with pytest.raises(RequestError, match="'float' alone"):
        drawn("4 9", weights="int8")


def test_what_is_missing_or_differs_is_said():
    keys = {name: tuple(each.shape) for name, each in state().items()}
    with pytest.raises(ForeignError, match=r"config\.json beside it"):
        layouts.adopt(keys, None)
    for change, words in (
        ({"ln_positions": "swinv2"}, "'swinv2' is not supported; 'normformer' is"),
        ({"decoder_layers": 4}, "decoder_layers is 4, the tensors say 3"),
        ({"decoder_start_token_id": 99}, "a table of 11 rows"),
    ):
        with pytest.raises(ForeignError, match=words):
            layouts.adopt(keys, CONFIG | change)
    del keys["model/decoder/final_ln/bias"]
    with pytest.raises(ForeignError, match="lacks model/decoder/final_ln/bias"):
        layouts.adopt(keys, CONFIG)
