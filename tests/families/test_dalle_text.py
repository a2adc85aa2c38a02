"""Prompts: pieces, pads, what is refused; and pretrained encoders."""

import json

import pytest
import torch
import toys
from click.testing import CliRunner

from zoo.errors import RequestError
from zoo.nn.text import Encoder, Vocabulary, trained
from zoo.train.views import may_be_mirrored, mirrored
from zoo_dalle import vocabulary
from zoo_dalle.stream import Features


def words(length=9):
    return Vocabulary(toys.WORDS, length)


@pytest.mark.parametrize("text", toys.CAPTIONS)
def test_a_prompt_comes_back(text):
    assert words().text(words().padded(text)) == text


def test_training_is_deterministic_and_merges_what_is_common():
    assert trained(toys.CAPTIONS, 60) == toys.WORDS
    assert words().size <= 60
    pieces = words().encoder.encode("noto: red apple").tokens
    assert " apple" in pieces
    assert "".join(pieces) == " noto: red apple"


def test_spaces_and_capitals_do_not_matter():
    assert words().encode("  Noto:  RED apple ") == words().encode("noto: red apple")


def test_pads_are_of_their_positions():
    ids = words().padded("red")
    count = len(words().encode("red"))
    assert len(ids) == 9
    size = words().size
    assert ids[count:] == list(range(size + count, size + 9))
    assert words().padded("") == list(range(size, size + 9))


def test_characters_that_were_never_seen_are_named():
    with pytest.raises(
        RequestError, match=r"never saw '7', 'ß' in training. It knows ' :adeghijlmnoprstuw'"
    ):
        words().encode("noto: ß7 apple")


def test_a_long_prompt_is_told_both_lengths_and_what_fits():
    with pytest.raises(
        RequestError, match=r"is 6 tokens long; 5 fit, as far as 'noto: red apple red apple'"
    ):
        words(5).encode("noto: red apple red apple apple")


def test_a_text_must_be_one():
    with pytest.raises(RequestError, match="got 3"):
        words().encode(3)


def test_the_command_writes_what_a_net_is_built_with(tmp_path):
    from PIL import Image

    for index, caption in enumerate(toys.CAPTIONS * 4):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{index}.png")
        (tmp_path / f"{index}.txt").write_text(caption)
    out = tmp_path / "tokenizer.json"
    arguments = ["--data", f"{tmp_path}", "--pixels", "8", "--split", "all", "--size", "60"]
    done = CliRunner().invoke(vocabulary.main, [*arguments, "-o", f"{out}"], catch_exceptions=False)
    assert done.output.startswith(f"{out}: {words().size} pieces from 16 captions")
    assert json.loads(out.read_text())["model"]["vocab"] == toys.WORDS["model"]["vocab"]


@pytest.mark.parametrize(
    ("caption", "allowed"),
    [
        ("noto: red apple", True),
        ("noto: left arrow", False),
        ("noto: index pointing left", True),
        ("twemoji: letter b", False),
        ("noto-v1: 1st place medal", False),
        ("fluent-emoji: clock", False),
        ("apple", True),
    ],
)
def test_what_is_written_is_not_mirrored(caption, allowed):
    assert may_be_mirrored(caption) is allowed


def test_left_and_right_change_places_in_a_mirror():
    assert mirrored("noto: left hand on the right") == "noto: right hand on the left"


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A pretrained encoder's folder, as small as one can be."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bert")
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "green", "apple", "a"]
    (folder / "vocab.txt").write_text("\n".join(names))
    transformers.BertTokenizer(f"{folder / 'vocab.txt'}").save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=16,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(folder)
    return f"{folder}"


def test_a_pretrained_encoder_gives_a_vector_a_token(bert):
    encoder = Encoder(6, bert, 8)
    found = encoder.encode(["red apple", "", "a green apple", "red apple"])
    assert found.shape == (4, 6, 8)
    assert found.isnan().any(-1).sum(1).tolist() == [2, 6, 1, 2]
    assert torch.equal(found[0, :4], found[3, :4])
    torch.testing.assert_close(found[0, :4], encoder.encode(["red apple"])[0, :4], rtol=0, atol=0)
    with pytest.raises(RequestError, match=r"9 tokens of .* long; 6 fit"):
        encoder.encode(["red apple " * 3 + "a"])
    with pytest.raises(RequestError, match="gives 8 numbers a token, the config says width = 9"):
        Encoder(6, bert, 9).encode(["red"])


def test_an_encoder_that_is_not_there_is_named(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(RequestError, match="cannot be loaded from"):
        Encoder(6, f"{tmp_path}", 8).encode(["red"])


def test_a_net_draws_from_a_pretrained_encoder(bert):
    part = toys.tokenizer()
    net = toys.net(part, null=True, text={"length": 6, "encoder": {"model": bert, "width": 8}})
    assert isinstance(net.given, Features)
    assert not [name for name in net.state_dict() if "bert" in name or "encoder" in name]
    from zoo_dalle.asking import asked

    tokens = torch.arange(16)[None]
    one, other = (net.tables(tokens, asked(net, {"text": t}, 1)) for t in ("red apple", "green"))
    none = net.tables(tokens, asked(net, {"text": ""}, 1))
    assert (one - other).abs().max() > 1e-3
    torch.testing.assert_close(none, net.tables(tokens, None))
