"""Pieces of a prompt that are weighed: rows are e + w (r - e), held to the formula computed by hand."""

import compvis_files as files
import latents
import pytest
import torch
from compvis_files import EMPTY, drawn, rows_of, written
from toys import CAPTIONS

import zoo
from zoo.errors import RequestError
from zoo_ldm.prompts import Span, Words, pieces, rows
from zoo_ldm.sampling import told_of


@pytest.fixture
def words():
    """A text encoder of a model's own, in float64, far from even."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Words(**latents.TEXT, depth=2)
        for each in net.parameters():
            torch.nn.init.normal_(each, std=0.5)
    return net.double().eval()


@pytest.mark.parametrize(
    ("text", "plain", "spans"),
    [
        ("a (red:1.3) apple", "a red apple", [Span(2, 5, 1.3)]),
        ("(red apple:.5), (green:2)", "red apple, green", [Span(0, 9, 0.5), Span(11, 16, 2.0)]),
        ("(red) apple :3 (:2) (a:b)", "(red) apple :3 (:2) (a:b)", []),
        ("", "", []),
    ],
)
def test_signs_of_weights_are_taken_off(text, plain, spans):
    assert pieces(text) == (plain, spans)
    with pytest.raises(RequestError, match="text is a sentence"):
        pieces(3)


@torch.no_grad()
def test_weighed_rows_lie_on_the_line_from_the_empty_prompts_last_row(words):
    found, allowed = rows(
        words, ["red (green:1.3) (house:0)", "(apple:0.4)"], torch.zeros(()).double()
    )
    of_words = [[words.vocabulary.encode(each) for each in ("red", "green", "house")],
                [words.vocabulary.encode("apple")]]  # fmt: skip
    empty = words(torch.tensor([[words.begin]]))[0, 0]
    for row, seen, parts, told in zip(found, allowed, of_words, ([1, 1.3, 0], [0.4]), strict=True):
        ids = [words.begin, *(each for part in parts for each in part)]
        weights = [1.0, *(w for w, part in zip(told, parts, strict=True) for _ in part)]
        plain = words(torch.tensor([ids]))[0]  # alone: without pads
        assert int(seen.sum()) == len(ids)
        assert float((plain - empty)[1:].abs().min(1).values.max()) > 1e-3
        for place, weight in enumerate(weights):
            wanted = [
                float(e) + weight * (float(r) - float(e))
                for r, e in zip(plain[place], empty, strict=True)
            ]
            torch.testing.assert_close(row[place], torch.tensor(wanted).double(), rtol=0, atol=1e-6)


@torch.no_grad()
def test_weights_of_one_and_no_weights_are_the_same_rows(words):
    like = torch.zeros(()).double()
    plain, _ = rows(words, [CAPTIONS[0]], like)
    same, _ = rows(words, ["noto: (red:1) (apple:1.0)"], like)
    torch.testing.assert_close(same, plain, rtol=0, atol=0)


@torch.no_grad()
def test_of_a_part_the_empty_prompt_has_a_row_at_each_place(tmp_path):
    state = drawn(files.bert())
    net = zoo.load(written(tmp_path, state, files.BERT, files.WORDS), dtype=torch.float64).net
    found, allowed = rows(net, ["red (apples:1.3), (cafe:0.5)"], torch.zeros(()).double())
    assert allowed is None
    ids = [2, 5, 9, 10, 11, 13, 7, 3, 0]  # [CLS] red app ##le ##s , cafe [SEP] [PAD]
    weights = torch.tensor([1, 1, 1.3, 1.3, 1.3, 1, 0.5, 1, 1]).double()[:, None]
    told, nothing = rows_of(state, ids), rows_of(state, EMPTY)
    wanted = nothing + weights * (told - nothing)
    torch.testing.assert_close(found[0], wanted, rtol=0, atol=1e-6)
    assert float((wanted - told).abs().max()) > 0.1


def test_the_net_is_told_the_weighed_rows_and_guidance_leads_away_from_none():
    model = latents.made()
    asked = model.condition(text="noto: (red:1.7) apple")
    told = told_of(model.net, asked._cond(1), 1)
    wanted, _ = rows(model.net.reader, ["noto: (red:1.7) apple"], model.net.like())
    plain, _ = rows(model.net.reader, ["noto: red apple"], model.net.like())
    torch.testing.assert_close(told.given["text"], wanted)
    empty = model.net.reader(torch.tensor([[model.net.reader.begin]]))
    torch.testing.assert_close(told.without["text"][:, :1], empty)
    changed = (wanted - plain).abs().amax(2)[0] > 1e-4
    before, red = (len(model.net.reader.vocabulary.encode(each)) for each in ("noto:", "red"))
    assert changed.nonzero().flatten().tolist() == [*range(1 + before, 1 + before + red)]
    one, other = (
        each.sample(1, seed=0, steps=2).tensor
        for each in (asked, model.condition(text="noto: red apple"))
    )
    assert float((one - other).abs().max()) > 1e-4


def test_pieces_beside_a_learned_word_cannot_be_weighed(words):
    words.vocabulary.learned["<cat>"] = words.begin
    with pytest.raises(RequestError, match="'<cat> red': pieces beside a word that was learned"):
        rows(words, ["<cat> (red:2)"], torch.zeros(()).double())
