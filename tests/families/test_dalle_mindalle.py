"""minDALL-E, its keys made from its published code at a small size: the same logits as its formulas, and refusals."""

import json
from typing import Any

import mingpt
import pytest
import released
import torch
import toys
from safetensors.torch import save_file

import zoo
from zoo.errors import CardError, ForeignError, Unsupported
from zoo.foreign_models import load_foreign
from zoo_dalle import layouts, scoring

WIDTH, HEADS, DEPTH, TEXT, CODES, LENGTH, CELLS, PAD = 8, 2, 2, 11, 7, 3, 4, 10


CONFIG: dict[str, Any] = {
    "stage2": {
        "vocab_size_txt": TEXT,
        "vocab_size_img": CODES,
        "pad": PAD,
        "hparams": {
            "embed_dim": WIDTH,
            "n_layers": DEPTH,
            "n_heads": HEADS,
            "ctx_len_txt": LENGTH,
            "ctx_len_img": CELLS,
        },
    }
}


def state() -> mingpt.Weights:
    return mingpt.drawn(released.mindalle(CONFIG["stage2"]))


def logits(w: dict[str, torch.Tensor], text: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """(B, T, K) as dalle/models/stage2 computes it."""
    x = torch.cat(
        [
            w["tok_emb_txt.weight"][text] + w["pos_emb_txt.weight"],
            w["tok_emb_img.weight"][image] + w["pos_emb_img.weight"],
        ],
        1,
    )
    return mingpt.stream(w, x, DEPTH, HEADS)[:, LENGTH - 1 : -1] @ w["head_img.weight"].T


def test_its_logits_are_those_of_the_published_formulas(tmp_path):
    weights = state()
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    model = load_foreign(tmp_path / "model.safetensors")
    image = torch.tensor([[1, 6, 0, 3]])
    asked = model.condition(text="4 2")._cond(1)
    assert asked.prefix.tolist() == [[4, 2, PAD]]
    found = model.net.logits(image, asked)
    torch.testing.assert_close(found, logits(weights, torch.tensor([[4, 2, PAD]]), image))
    said = scoring.log_prob_of_prefix(model.net, asked)
    x = model.net.transformer(model.net.embed_prefix(asked, 1))[0] @ weights["head_txt.weight"].T
    wanted = x.log_softmax(-1)[[0, 1], [2, PAD]].sum()
    torch.testing.assert_close(said[0], wanted)
    assert model.net.given.nothing(1).tolist() == [[PAD] * LENGTH]


def test_its_tokenizer_is_put_to_it(tmp_path):
    save_file(state(), tmp_path / "model.safetensors")
    levels = {"stage1": {"hparams": {"ch_mult": [1, 2, 2]}}}  # 4 pixels a token
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | levels))
    bare = load_foreign(tmp_path / "model.safetensors").condition(text="4 2")
    with pytest.raises(Unsupported, match=r"zoo\.compose\(MODEL, tokenizer=NAME\)"):
        bare.sample(1, seed=0)
    whole = zoo.compose(tmp_path / "model.safetensors", tokenizer=toys.tokenizer(CODES, 8))
    drawn = whole.condition(text="4 2").sample(2, seed=0)
    assert drawn.tensor.shape == (2, 3, 8, 8)
    assert torch.isfinite(whole.condition(text="4 2").log_prob(drawn).nats).all()
    with pytest.raises(CardError, match="2x2 tokens of 7 codes, but the tokenizer"):
        zoo.compose(tmp_path / "model.safetensors", tokenizer=toys.tokenizer(CODES + 1, 8))


def test_what_is_missing_or_differs_is_said():
    keys = {name: tuple(each.shape) for name, each in state().items()}
    with pytest.raises(ForeignError, match="pad: N"):
        layouts.adopt(keys, {"stage2": {"hparams": {"n_heads": 2}}})
    with pytest.raises(ForeignError, match="vocab_size_txt is 12, the tensors say 11"):
        layouts.adopt(keys, {"stage2": {**CONFIG["stage2"], "vocab_size_txt": 12}})
    approximate = {**CONFIG["stage2"]["hparams"], "gelu_use_approx": True}
    with pytest.raises(ForeignError, match="gelu_use_approx"):
        layouts.adopt(keys, {"stage2": {**CONFIG["stage2"], "hparams": approximate}})
