"""CompVis' text-to-image model: the transformer that reads its texts, BERT's word pieces, and a whole file of it."""

import compvis_files as files
import pytest
import torch
from compvis_files import BERT, CONFIG, EMPTY, WORDS, drawn, rows_of, written

import zoo
from zoo.errors import ForeignError, RequestError, WeightsError

PROMPT = "A Café, red\tapples"
IDS = [2, 12, 7, 13, 5, 9, 10, 11, 3]  # [CLS] a cafe , red app ##le ##s [SEP]


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_rows_are_those_of_the_formula(tmp_path, gated, prefix):
    state = drawn(files.bert(prefix, gated))
    model = zoo.load(written(tmp_path, state, BERT, WORDS), dtype=torch.float64)
    assert (model.card.family, model.card.source["layout"]) == ("text", "compvis-bert-text")
    with torch.no_grad():
        found = model.net(torch.tensor([IDS, EMPTY]))
    wanted = torch.stack([rows_of(state, each, gated, prefix) for each in (IDS, EMPTY)])
    assert wanted.std() > 0.3
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore")  # the reference's own
def test_rows_are_those_of_the_transformer_that_diffusers_made_of_it(tmp_path):
    pytest.importorskip("diffusers", reason="the reference")
    from diffusers.pipelines.latent_diffusion import pipeline_latent_diffusion as theirs

    state = drawn(files.bert())
    config = theirs.LDMBertConfig(
        vocab_size=len(WORDS), max_position_embeddings=files.LENGTH, encoder_layers=2, head_dim=64,
        encoder_ffn_dim=4 * files.WIDTH, encoder_attention_heads=2, d_model=files.WIDTH,
    )  # fmt: skip
    names = {
        "token_emb": "embed_tokens", "pos_emb.emb": "embed_positions", "norm": "layer_norm",
        "0.0": "self_attn_layer_norm", "0.1.to_q": "self_attn.q_proj", "0.1.to_k": "self_attn.k_proj",
        "0.1.to_v": "self_attn.v_proj", "0.1.to_out": "self_attn.out_proj",
        "1.0": "final_layer_norm", "1.1.net.0.0": "fc1", "1.1.net.2": "fc2",
    }  # fmt: skip
    renamed = {}
    for key, value in state.items():
        name, kind = key.rsplit(".", 1)
        if name.startswith("attn_layers"):
            number, inner = name.removeprefix("attn_layers.layers.").split(".", 1)
            block, half = divmod(int(number), 2)
            renamed[f"model.layers.{block}.{names[f'{half}.{inner}']}.{kind}"] = value
        else:
            renamed[
                "to_logits." + kind if name == "to_logits" else f"model.{names[name]}.{kind}"
            ] = value
    net = theirs.LDMBertModel(config).eval()
    net.load_state_dict(renamed)
    ids = torch.tensor([IDS, EMPTY])
    with torch.no_grad():
        wanted = net.model(ids).last_hidden_state
        found = zoo.load(written(tmp_path, state, BERT)).net(ids)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_a_prompt_is_pieces_of_words_between_marks(tmp_path):
    net = zoo.load(written(tmp_path, drawn(files.bert()), BERT, WORDS)).net
    from zoo_ldm.prompts import pieces

    read = net.read([pieces(each) for each in (PROMPT, "", "red (Apples:1.5), a")])
    assert read.allowed is None  # the pads are attended to, as the model was trained
    assert read.ids.tolist() == [IDS, EMPTY, [2, 5, 9, 10, 11, 13, 12, 3, 0]]
    assert read.weights.tolist() == [[1.0] * 9, [1.0] * 9, [1, 1, 1.5, 1.5, 1.5, 1, 1, 1, 1]]
    for text, message in (
        ("red 東 house", "never saw '東' in training"),
        ("a a a a a a a a", "is 8 tokens long; 7 fit, as far as 'a a a a a a a'"),
    ):
        with pytest.raises(RequestError, match=message):
            net.read([(text, [])])


@pytest.fixture(scope="module")
def state():
    return drawn(files.text_to_image())


def told(model, **options):
    """Pictures, and the rows that the U-Net attended to in the first step."""
    seen = []
    handle = model.net.network.register_forward_hook(lambda _, given, __: seen.append(given[2]))
    pictures = model.sample(1, seed=0, steps=2, **options).tensor
    handle.remove()
    return pictures, seen[0]["text"]


def test_a_whole_file_draws_from_a_text(tmp_path, state):
    model = zoo.load(written(tmp_path, state, CONFIG, WORDS))
    assert {role: part.card.source["layout"] for role, part in model.parts.items()} == {
        "autoencoder": "compvis-autoencoderkl",
        "text": "compvis-bert-text",
    }
    prefix = "cond_stage_model.transformer."
    wanted = [rows_of(state, each, prefix=prefix).float() for each in (IDS, EMPTY)]
    one, rows = told(model.condition(text=PROMPT), guidance=3.0)
    torch.testing.assert_close(rows[:1], wanted[0][None], rtol=0, atol=1e-5)
    torch.testing.assert_close(rows[1:], wanted[1][None], rtol=0, atol=1e-5)
    other, rows = told(model.condition(text="green house"))
    assert len(rows) == 1
    nothing, rows = told(model)
    torch.testing.assert_close(rows, wanted[1][None], rtol=0, atol=1e-5)
    assert one.shape == (1, 3, 8, 8)
    assert min(float((a - b).abs().max()) for a, b in ((one, other), (other, nothing))) > 1e-3
    again, _ = told(zoo.load(tmp_path).condition(text=PROMPT), guidance=3.0)
    assert torch.equal(one, again)


def test_without_its_vocabulary_it_says_which_to_give(tmp_path, state):
    model = zoo.load(written(tmp_path, state, CONFIG))
    assert model.net.reader(torch.tensor([IDS])).shape == (1, 9, files.WIDTH)
    with pytest.raises(RequestError, match=r"put vocab\.txt, or tokenizer\.json, beside the weigh"):
        model.condition(text="red")
    assert "put vocab.txt of bert-base-uncased beside it" in model.parts["text"].card.body


def test_without_its_configuration_the_published_one_is_assumed(tmp_path, state):
    model = zoo.load(written(tmp_path, state))
    assert model.card.image[1:] == (64, 64)  # 32 of this file's latents, which are 2 pixels wide
    assert "CompVis' text-to-image model (txt2img-1p4B) is assumed" in model.card.body
    process = model.net.process
    assert (model.net.stage.scale, process.steps) == (0.18215, 1000)


def without(state, *names):
    return {key: each for key, each in state.items() if not key.endswith(names)}


BAD = {
    "a network of another width": (lambda s: s, {**BERT, "n_embed": 16}, WORDS, "n_embed is 16, the tensors say 12"),
    "another vocabulary": (lambda s: s, BERT, WORDS[:-1], "size of the vocabulary is 13, the tensors say 14"),
    "half a block": (
        lambda s: {k: v for k, v in s.items() if "layers.3." not in k}, {}, None, r"3 of attn_layers\.layers\.\*: att",
    ),
    "no positions": (lambda s: without(s, "pos_emb.emb.weight"), {}, None, r"lacks pos_emb\.emb\.weight"),
    "a lost tensor": (lambda s: without(s, "layers.2.1.to_k.weight"), {}, None, r"layers\.2\.1\.to_k\.weight"),
    "a strange tensor": (lambda s: s | {"memory_tokens": torch.ones(1)}, {}, None, "unknown in the file .memory_tok"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_belong_together_is_refused(tmp_path, case):
    change, config, words, message = BAD[case]
    path = written(tmp_path, change(drawn(files.bert())), config, words)
    with pytest.raises((ForeignError, WeightsError), match=message):
        zoo.load(path)


def test_another_encoders_vocabulary_and_tokens_that_are_no_text_are_refused(tmp_path, state):
    path = written(tmp_path / "clip", drawn(files.bert()), BERT)
    (path.parent / "vocab.json").write_text('{"a": 0}')
    (path.parent / "merges.txt").write_text("a b\n")
    with pytest.raises(ForeignError, match="a vocabulary of merges and vocab lies beside the weig"):
        zoo.load(path)
    params = CONFIG["model"]["params"]
    boxes = {**params["cond_stage_config"], "params": {**BERT, "use_tokenizer": False}}
    config = {"model": {"params": {**params, "cond_stage_config": boxes}}}
    with pytest.raises(ForeignError, match="is told tokens of its own, not a text"):
        zoo.load(written(tmp_path / "boxes", state, config, WORDS))
