"""ruDALL-E, its keys made from its published code at a small size: the same logits as its formulas, and refusals."""

import json
from math import pi
from typing import Any

import mingpt
import pytest
import released
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from zoo.errors import ForeignError
from zoo.foreign_models import load_foreign
from zoo_dalle import layouts, scoring

WIDTH, HEADS, DEPTH, LENGTH, SIDE, CODES, PIECES = 16, 2, 4, 5, 4, 9, 12
TEXT, CELLS = PIECES + LENGTH, SIDE * SIDE
CONFIG: dict[str, Any] = {
    "hf_version": "v3",
    "model_params": {
        "num_layers": DEPTH,
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "cogview_sandwich_layernorm": True,
        "vocab_size": TEXT,
        "image_vocab_size": CODES,
        "text_seq_length": LENGTH,
        "image_tokens_per_dim": SIDE,
    },
}


def state() -> mingpt.Weights:
    return mingpt.drawn(released.rudalle(CONFIG["model_params"]))


def masks() -> list[torch.Tensor]:
    """Of the four layers (N, N): what rudalle/dalle/image_attention.py forbids, taken off the causal mask."""
    total = LENGTH + CELLS
    causal = torch.ones(total, total).tril().bool()
    recent, column, around = causal.clone(), causal.clone(), causal.clone()
    for s in range(LENGTH, total):
        recent[s + SIDE + 1 :, s] = False
        for t in range(s + 1, total):
            column[t, s] = (t - s) % SIDE == 0
            (r, c), (r2, c2) = divmod(t - LENGTH, SIDE), divmod(s - LENGTH, SIDE)
            around[t, s] = abs(r - r2) <= 5 and abs(c - c2) <= 5
    return [recent, column, recent, around]


def logits(w: mingpt.Weights, text: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """(B, N, all ids) of the whole stream, as DalleModel.forward has them."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    rows, columns = (w[f"image_{each}_embeddings.weight"] for each in ("row", "col"))
    places = (rows[:, None] + columns).flatten(0, 1)
    x = torch.cat(
        [
            w["text_embeddings.weight"][text] + w["text_pos_embeddings.weight"][:LENGTH],
            w["image_embeddings.weight"][image] + places,
        ],
        1,
    )
    for layer, mask in enumerate(masks()):
        name = f"transformer.layers.{layer}."
        every = linear(norm(x, name + "input_layernorm"), name + "attention.query_key_value")
        q, k, v = (each.unflatten(-1, (HEADS, -1)).transpose(1, 2) for each in every.chunk(3, -1))
        scores = (q @ k.mT / (WIDTH // HEADS) ** 0.5).masked_fill(~mask, -torch.inf)
        mixed = linear(
            (scores.softmax(-1) @ v).transpose(1, 2).flatten(2), name + "attention.dense"
        )
        x = x + norm(mixed, name + "before_first_addition_layernorm")
        y = linear(norm(x, name + "post_attention_layernorm"), name + "mlp.dense_h_to_4h")
        y = y / 2 * (1 + torch.tanh((2 / pi) ** 0.5 * y * (1 + 0.044715 * y * y)))
        y = linear(y, name + "mlp.dense_4h_to_h")
        x = x + norm(y, name + "before_second_addition_layernorm")
    return linear(norm(norm(x, "transformer.final_layernorm"), "to_logits.0"), "to_logits.1")


def test_its_logits_are_those_of_the_published_formulas(tmp_path):
    weights = state()
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    model = load_foreign(tmp_path / "model.safetensors")
    image = torch.randint(CODES, (2, CELLS), generator=torch.Generator().manual_seed(3))
    asked = model.condition(text=["7", "11 4"])._cond(2)
    ids = torch.tensor([[2, 7, 3, PIECES + 3, PIECES + 4], [2, 11, 4, 3, PIECES + 4]])
    assert torch.equal(asked.prefix, ids)
    wanted = logits(weights, ids, image)
    with torch.no_grad():
        found = model.net.logits(image, asked)
        walk = scoring.Walk(model.net, 2, asked)
        for t in range(CELLS):
            step = wanted[:, LENGTH - 1 + t, TEXT:].softmax(-1)
            torch.testing.assert_close(walk.probabilities(), step, rtol=1e-4, atol=1e-5)
            walk.push(image[:, t])
    torch.testing.assert_close(found, wanted[:, LENGTH - 1 : -1, TEXT:], rtol=1e-4, atol=1e-4)
    said = scoring.log_prob_of_prefix(model.net, asked)[0]
    text = 0
    for place, piece in enumerate((7, 3, PIECES), 1):  # a piece, or the pad of this place, last
        possible = [*range(PIECES), PIECES + place]
        text = text + wanted[0, place - 1, possible].log_softmax(-1)[piece]
    torch.testing.assert_close(said, text, rtol=1e-4, atol=1e-4)


def test_what_is_missing_or_differs_is_said():
    keys = {name: tuple(each.shape) for name, each in state().items()}
    with pytest.raises(ForeignError, match="MODELS in rudalle"):
        layouts.adopt(keys, None)
    with pytest.raises(ForeignError, match=r"'v2'.*wrap around"):
        layouts.adopt(keys, {**CONFIG, "hf_version": "v2"})
    other = {**CONFIG["model_params"], "num_layers": 5}
    with pytest.raises(ForeignError, match="num_layers is 5, the tensors say 4"):
        layouts.adopt(keys, {**CONFIG, "model_params": other})
    del keys["transformer.layers.3.mlp.dense_4h_to_h.bias"]
    with pytest.raises(ForeignError, match=r"lacks transformer\.layers\.3\.mlp"):
        layouts.adopt(keys, CONFIG)
