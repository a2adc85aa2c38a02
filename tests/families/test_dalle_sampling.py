"""Drawing: which tokens, by which chance, from which stream; stopped, gone on with, previewed, chosen among."""

import math

import pytest
import torch

import zoo
from zoo import rng
from zoo.errors import RequestError
from zoo.testing import Subject
from zoo_dalle.asking import asked, null
from zoo_dalle.choosing import Choice
from zoo_dalle.making import dalle
from zoo_dalle.sampling import draw, sample
from zoo_dalle.stepping import FEW, Stepper, gelu

SIDE = {"kind": "compact", "channels": 3, "patch": 2, "widths": [8, 32], "blocks": [1, 1]}
TOKENIZER = {
    "post_quant_conv": False,
    "encoder": SIDE,
    "decoder": {**SIDE, "latent": 4, "fine": 4},
    "quantizer": {"kind": "vector", "codes": 24, "dim": 4},
}
SHAPE = {"width": 32, "depth": 2, "heads": 2, "patterns": ["full", "row"], "shift": True}


@pytest.fixture(scope="module")
def tokenizer():
    subject = Subject(
        "vq", TOKENIZER, image=(3, 16, 16), latent=(4, 4), latent_kind="tokens", codes=24, multiple=4,
        hooks=("encode", "decode"),
    )  # fmt: skip
    return subject.model


@pytest.fixture(scope="module")
def net(tokenizer):
    return made(tokenizer, null=True)


def made(tokenizer, null):
    torch.manual_seed(0)
    config = {"shape": SHAPE, "grid": [4, 4], "codes": 24, "classes": 3, "null": null}
    net = dalle(config, {"tokenizer": tokenizer}).eval()
    for each in net.parameters():
        torch.nn.init.normal_(each, std=0.3)
    return net


def quiet(items, total=None, label=""):
    return items


@torch.no_grad()
def drawn(net, count, seed=0, request=None, **options):
    cond = None if request is None else asked(net, request, count)
    tokens, place = draw(net, count, cond, options, rng.generator(seed), quiet)
    assert place == net.length or options.get("stop")
    return tokens


def by_hand(net, count, request, guidance=1.0, best_of=1, interval=(0, 16)):
    """The same without memory: a pass over everything for every token."""
    cond = asked(net, request, count)
    uniforms = rng.uniform(rng.streams(rng.generator(0), count * best_of), 16)[::best_of]
    tokens = torch.zeros(count, 16, dtype=torch.int64)
    for k in range(16):
        logits = net.logits(tokens, cond)[:, k]
        if guidance != 1 and interval[0] <= k < interval[1]:
            without = net.logits(tokens, null(net, cond, count))[:, k]
            logits = without + guidance * (logits - without)
        sums = logits.softmax(-1).double().cumsum(-1)
        tokens[:, k] = (sums > uniforms[:, k : k + 1].double() * sums[:, -1:]).int().argmax(-1)
    return tokens


@pytest.mark.parametrize("label", [1, [0, 1, 2]], ids=["one prompt", "a prompt each"])
@pytest.mark.parametrize(
    ("options", "interval"),
    [
        ({}, (0, 16)),
        ({"guidance": 3.0}, (0, 16)),
        ({"guidance": 3.0, "guidance_from": 0.25, "guidance_until": 0.6}, (4, 10)),
        ({"guidance": 3.0, "guidance_from": 0.9}, (15, 16)),
    ],
    ids=["plain", "guided", "guided in the middle", "guided at the end"],
)
@torch.no_grad()
def test_tokens_are_those_of_drawing_without_memory(net, label, options, interval):
    wanted = by_hand(net, 3, {"label": label}, options.get("guidance", 1.0), interval=interval)
    assert torch.equal(drawn(net, 3, request={"label": label}, **options), wanted)


def test_a_picture_depends_on_its_seed_and_place_alone(net):
    every = drawn(net, 4, request={"label": [0, 1, 1, 2]}, guidance=2.0, top_p=0.9)
    assert torch.equal(drawn(net, 2, request={"label": [0, 1]}, guidance=2.0, top_p=0.9), every[:2])
    assert not torch.equal(every[1], every[2])
    assert not torch.equal(
        drawn(net, 4, 1, {"label": [0, 1, 1, 2]}, guidance=2.0, top_p=0.9), every
    )


def test_draws_follow_the_distribution():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    choice, count = Choice(temperature=0.7, top_k=3), 20_000
    uniforms = torch.rand(count, generator=rng.generator(0))
    found = choice.draw(logits.expand(count, -1), uniforms).bincount(minlength=4) / count
    wanted = (logits[0, :3] / 0.7).softmax(-1)
    assert found[3] == 0
    assert (found[:3] - wanted).abs().max() < 4 * math.sqrt(0.25 / count)


def test_narrowing_keeps_what_it_says():
    p = torch.tensor([[0.5, 0.25, 0.15, 0.1]])
    kept = lambda **options: Choice(**options).narrowed(p.log())[0].isfinite().tolist()  # noqa: E731
    assert kept() == [True] * 4
    assert kept(temperature=0.0) == [True, False, False, False]
    assert kept(top_k=2) == [True, True, False, False]
    assert kept(top_p=0.5) == [True, False, False, False]
    assert kept(top_p=0.51) == [True, True, False, False]
    assert kept(top_k=2, top_p=0.6) == [True, False, False, False]  # of 2/3 and 1/3
    entropy = -(p * p.log()).sum()  # 1.208: the surprises are 0.69, 1.39, 1.90, 2.30
    nearest = (-p.log() - entropy).abs().argsort()[0].tolist()
    assert nearest == [1, 0, 2, 3]
    assert kept(typical=0.25) == [False, True, False, False]
    assert kept(typical=0.26) == [True, True, False, False]
    assert kept(top_k=1, typical=0.5) == [True, False, False, False]


def test_of_the_likeliest_alone_the_same_is_drawn():
    draw = rng.generator(0)
    logits = torch.randn(200, 50, generator=draw, dtype=torch.float64)
    uniforms = torch.rand(200, generator=draw)
    for more in ({}, {"typical": 0.9}, {"top_p": 0.8, "temperature": 0.7}):
        choice = Choice(top_k=7, **more)
        sums = choice.narrowed(logits).float().softmax(-1).double().cumsum(-1)
        mark = uniforms.double()[:, None] * sums[:, -1:]
        wanted = (sums <= mark).sum(-1)
        assert torch.equal(choice.draw(logits, uniforms), wanted)


def test_at_temperature_nought_the_seed_does_not_matter(net):
    one = drawn(net, 2, 0, {"label": 2}, temperature=0.0)
    assert torch.equal(one, drawn(net, 2, 5, {"label": 2}, temperature=0.0))
    assert torch.equal(one[0], one[1])


def test_given_rows_stay_and_the_rest_is_drawn(net):
    images = torch.rand(1, 3, 16, 16, generator=rng.generator(0)) * 2 - 1
    tokens = net.symbols(images)
    found = drawn(net, 3, request={"prefix": images, "rows": 2, "label": 1}, guidance=2.0)
    assert torch.equal(found[:, :8], tokens[:, :8].expand(3, -1))
    assert len({tuple(row) for row in found[:, 8:].tolist()}) == 3
    whole = drawn(net, 1, request={"prefix": images, "rows": 4, "label": 1})
    assert torch.equal(whole, tokens)


@pytest.mark.parametrize("given", [{}, {"guidance": 2.0, "guidance_until": 0.5}, {"best_of": 2}])
def test_a_drawing_that_was_stopped_goes_on_to_the_same(net, tmp_path, given):
    state = tmp_path / "drawing.safetensors"
    whole = drawn(net, 2, 3, {"label": 1}, **given)
    drawn(net, 2, 3, {"label": 1}, state=state, stop=1, **given)
    drawn(
        net, 2, None, {"label": 1}, state=state, stop=3, **given
    )  # its own numbers go on, not these
    assert state.exists()
    assert torch.equal(drawn(net, 2, None, {"label": 1}, state=state, **given), whole)
    assert not state.exists()


def test_an_interruption_is_a_stop(net, tmp_path):
    state = tmp_path / "drawing.safetensors"

    def tired(pictures, rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drawn(net, 2, 3, {"label": 1}, state=state, preview=2, on_preview=tired)
    assert torch.equal(
        drawn(net, 2, None, {"label": 1}, state=state), drawn(net, 2, 3, {"label": 1})
    )


def test_another_drawing_is_not_gone_on_with(net, tmp_path):
    state = tmp_path / "drawing.safetensors"
    drawn(net, 2, 0, {"label": 1}, state=state, stop=1)
    with pytest.raises(RequestError, match=r"top_k was 0, is 5"):
        drawn(net, 2, 0, {"label": 1}, state=state, top_k=5)
    with pytest.raises(RequestError, match=r"condition and net was"):
        drawn(net, 2, 0, {"label": 2}, state=state)
    with pytest.raises(RequestError, match=r"pictures was \[2, 16\], is \[3, 16\]"):
        drawn(net, 3, 0, {"label": 1}, state=state)
    other = tmp_path / "other"
    other.write_text("no tensors")
    with pytest.raises(RequestError, match="not a drawing that was stopped"):
        drawn(net, 1, 0, {"label": 1}, state=other)


@torch.no_grad()
def test_previews_are_the_picture_so_far(net, tmp_path):
    seen = []
    final = sample(
        net, 2, None, {"preview": 1, "preview_to": tmp_path / "p.png",
                       "on_preview": lambda pictures, rows: seen.append((rows, pictures.tensor))},
        rng.generator(0), quiet,
    )  # fmt: skip
    assert [rows for rows, _ in seen] == [1, 2, 3]
    for rows, pictures in seen:
        assert pictures.shape == final.shape
        assert (pictures[:, :, 4 * rows :] == 0).all()
        assert (pictures[:, :, : 4 * rows] != 0).any()
    assert zoo.Images.read(tmp_path / "p.png").shape[-2:] == (16, 2 * 16 + 2)


@torch.no_grad()
def test_the_likeliest_of_several_candidates_is_taken(net):
    tokens = drawn(net, 6, request={"label": 1})  # candidates 0 .. 5 of the seed
    cond = asked(net, {"label": 1}, 6)
    likely = -torch.nn.functional.cross_entropy(
        net.logits(tokens, cond).transpose(1, 2), tokens, reduction="none"
    ).sum(1)
    best = drawn(net, 2, request={"label": 1}, best_of=3)
    assert torch.equal(best[0], tokens[likely[:3].argmax()])
    assert torch.equal(best[1], tokens[3 + likely[3:].argmax()])
    guided = drawn(net, 1, request={"label": 1}, best_of=2, guidance=2.0, rerank="likelihood")
    assert guided.shape == (1, 16)


@torch.no_grad()
def test_a_scorer_chooses(net):
    tokens = drawn(net, 4, request={"label": 1})
    brightness = net.pictures(tokens).clamp(-1, 1).mean((1, 2, 3))
    by = lambda pictures: pictures.mean((1, 2, 3))  # noqa: E731
    best = drawn(net, 2, request={"label": 1}, best_of=2, rerank=by)
    assert torch.equal(best[0], tokens[brightness[:2].argmax()])
    assert torch.equal(best[1], tokens[2 + brightness[2:].argmax()])


@torch.no_grad()
def test_a_model_chooses_by_its_log_prob(net):
    judge = Subject(
        "pixel", {"kind": "transformer", "size": 16, "channels": 3, "levels": 256, "width": 8, "depth": 1, "heads": 2},
        image=(3, 16, 16), log_prob=zoo.card.Density("exact", "8-bit pixels"), hooks=("log_prob",),
    ).model  # fmt: skip
    tokens = drawn(net, 2, request={"label": 1})
    scores = judge.log_prob(net.pictures(tokens).clamp(-1, 1)).nats
    best = drawn(net, 1, request={"label": 1}, best_of=2, rerank=judge)
    assert torch.equal(best[0], tokens[scores.argmax()])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must be 0 or more"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\]"),
        ({"typical": 2.0}, "typical"),
        ({"topk": 3}, "Did you mean 'top_k'"),
        ({"guidance": 2.0, "guidance_from": 0.8, "guidance_until": 0.5}, "0.8 and 0.5"),
        ({"best_of": 0}, "best_of"),
        ({"rerank": "likelihood"}, "give best_of"),
        ({"rerank": "beauty", "best_of": 2}, "'beauty'"),
        ({"rerank": lambda pictures: pictures.mean((1, 2, 3))[:1], "best_of": 2}, "each of 4 pictures; it gave 1"),
        ({"rerank": lambda pictures: [math.nan] * 4, "best_of": 2}, "4 of them not a number"),
        ({"preview": 2}, "somewhere to go"),
        ({"preview_to": "x.png"}, "every how many rows"),
        ({"stop": 2}, "give state="),
        ({"stop": 9, "state": "never-written"}, "of 4 rows of tokens; got 9"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(net, options, message):
    with pytest.raises(RequestError, match=message):
        drawn(net, 2, request={"label": 1}, **options)


def test_guidance_needs_a_net_that_was_trained_without_its_condition(tokenizer):
    net = made(tokenizer, null=False)
    with pytest.raises(RequestError, match=r"guidance = 2 .*null: false"):
        drawn(net, 2, request={"label": 1}, guidance=2.0)
    assert drawn(net, 2, request={"label": 1}, guidance=1.0).shape == (2, 16)


def test_weights_of_8_bits_are_near_and_a_picture_is_still_its_own(net):
    hidden = []
    with torch.no_grad():
        for weights in ("float", "int8"):
            memory, stepper = net.transformer.memory(3), Stepper(net.transformer, weights)
            net.transformer.extend(net.embed_prefix(asked(net, {"label": 1}, 3)), memory)
            hidden.append(stepper.step(net.embed_tokens(torch.tensor([[1], [2], [3]])), memory))
    assert not torch.equal(*hidden)
    torch.testing.assert_close(*hidden, rtol=0.05, atol=0.1)
    two, one = (drawn(net, n, request={"label": 1}, weights="int8") for n in (2, 1))
    assert torch.equal(two[:1], one)
    with pytest.raises(RequestError, match="weights = 'int4': there are float, int8"):
        drawn(net, 1, weights="int4")


def test_a_gelu_of_few_numbers_is_that_of_many():
    few = torch.linspace(-9, 9, FEW)
    wanted = torch.nn.functional.gelu(few.double()).float()
    torch.testing.assert_close(gelu(few), wanted, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(gelu(few), gelu(few.repeat(2))[:FEW], rtol=1e-5, atol=2e-6)


def test_pictures_with_seeds_of_their_own(net):
    both, alone = [
        torch.cat(
            [
                draw(net, count, None, {"best_of": 2}, rng.generator(seeds), quiet)[0]
                for count, seeds in asks
            ]
        )
        for asks in ([(2, [3, 7])], [(1, 3), (1, 7)])
    ]
    assert torch.equal(both, alone)


def test_given_rows_may_be_tokens(net):
    rows = torch.arange(16).view(2, 2, 4)
    tokens = drawn(net, 2, request={"label": 1, "prefix": rows})
    assert torch.equal(tokens[:, :8], rows.flatten(1))
    tokens = drawn(net, 3, request={"prefix": rows[0].numpy(), "rows": 1})
    assert torch.equal(tokens[:, :4], rows[0, :1].expand(3, 4))
    for wrong, words in (
        ({"prefix": rows + 10}, r"first rows are 0 \.\. 23; got 10 \.\. 25"),
        ({"prefix": rows[..., :3]}, r"\(B, 1 to 4, 4\); got torch.int64 \(2, 2, 3\)"),
        ({"prefix": rows, "rows": 3}, "rows = 3: the prefix has 2 rows"),
    ):
        with pytest.raises(RequestError, match=words):
            drawn(net, 2, request=wrong)


def test_variations_keep_some_of_a_picture(net, tmp_path):
    images = torch.rand(2, 3, 16, 16, generator=rng.generator(0)) * 2 - 1
    tokens = net.symbols(images)
    request = {"label": [1, 2], "image": images, "strength": 0.5}
    found = drawn(net, 2, request=request, guidance=2.0)
    plain = drawn(net, 2, request={"label": [1, 2]}, guidance=2.0)
    kept = rng.streams(rng.generator(0), 2)
    rng.uniform(kept, 16)
    kept = rng.uniform(kept, 16) >= 0.5
    assert torch.equal(found[kept], tokens[kept])
    assert (found != tokens)[~kept].any()
    whole = tokens.view(2, 4, 4)
    given = {"label": [1, 2], "image": whole, "strength": 1}
    assert torch.equal(drawn(net, 2, request=given, guidance=2.0), plain)
    assert torch.equal(drawn(net, 2, request={"image": whole, "strength": 1e-9}), tokens)
    alone = {"label": 1, "image": images[:1], "strength": 0.5}
    assert torch.equal(drawn(net, 1, request=alone, guidance=2.0), found[:1])
    state = tmp_path / "drawing.safetensors"
    drawn(net, 2, request=request, guidance=2.0, state=state, stop=2)
    with pytest.raises(RequestError, match="condition and net was"):
        drawn(net, 2, request={**request, "strength": 0.6}, guidance=2.0, state=state)
    assert torch.equal(drawn(net, 2, None, request, guidance=2.0, state=state), found)
    for wrong, words in (
        ({"strength": 0.5}, "give image=pictures as well"),
        ({"image": images}, "share of its tokens is drawn anew, above 0 up to 1; got None"),
        ({"image": images, "strength": 1.5}, "up to 1; got 1.5"),
        ({"image": whole + 20, "strength": 0.5}, r"to vary are 0 \.\. 23; got"),
        ({"image": images, "strength": 0.5, "prefix": images, "rows": 1}, "leave one of them out"),
    ):
        with pytest.raises(RequestError, match=words):
            drawn(net, 2, request=wrong)
    for score in (net.log_likelihood, net.tables):
        with pytest.raises(RequestError, match="has no part in"):
            score(tokens, asked(net, request, 2))
