"""What is done with a text-to-image model: captions compared, tokens coded."""

import pytest
import torch
import toys

import zoo
from zoo.card import Density
from zoo.codec import pack, stream
from zoo.codec.pictures import pictures_of
from zoo.errors import RequestError, WeightsError
from zoo.evaluate.conditional import nats_given
from zoo.images import to_uint8
from zoo.nn.coding import Autoregressive, Scored
from zoo.testing import Subject

SUBJECT = Subject(
    "dalle",
    {"shape": toys.SHAPE, "grid": [4, 4], "codes": 24, "null": True, "text": toys.TEXT},
    image=(3, 16, 16),
    latent=(4, 4),
    latent_kind="tokens",
    codes=24,
    log_prob=Density("exact", "tokens"),
    hooks=("condition", "encode", "decode", "sample", "log_prob"),
    parts={"tokenizer": toys.tokenizer()},
    request={"text": toys.CAPTIONS[0]},
)


@pytest.fixture(scope="module")
def model():
    made = SUBJECT.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for each in made.net.parameters():
            torch.nn.init.normal_(each, std=0.5)
    return made


def levels(count):
    drawn = torch.randint(256, (count, 3, 16, 16), generator=torch.Generator().manual_seed(1))
    return drawn / 127.5 - 1


def test_pairs_have_the_log_prob_of_their_own(model):
    assert isinstance(model.net, Scored)
    assert isinstance(model.net, Autoregressive)
    images = levels(3)
    answer = zoo.classify(model, images, captions=toys.CAPTIONS)
    for k, text in enumerate(toys.CAPTIONS):
        alone = model.condition(text=text).log_prob(images).nats
        torch.testing.assert_close(answer.nats[:, k].float(), alone, rtol=1e-5, atol=1e-4)
    rows = [toys.CAPTIONS[n:] + toys.CAPTIONS[:n] for n in range(3)]
    nats = nats_given(model, images, "text", rows)
    torch.testing.assert_close(nats[2, 0], answer.nats[2, 2], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("text", [None, "noto: red apple"])
def test_tokens_go_through_an_archive(model, text):
    asked = model if text is None else model.condition(text=text)
    images = levels(5)
    packed = pack(asked, pictures_of(images), lossy=True)
    tokens = model.encode(images)
    back = zoo.decompress(packed.data, model).tensor
    assert torch.equal(to_uint8(back), to_uint8(model.decode(tokens).tensor))
    bits = -float(asked.log_prob(images).nats.double().sum()) / torch.log(torch.tensor(2.0))
    assert packed.ideal == pytest.approx(float(bits), rel=1e-3)
    assert packed.payload < 1.02 * packed.ideal + 96
    assert packed.tokens == 5 * 16
    assert stream.read(packed.data)[0].lossy


def test_a_tokenizer_of_other_code_vectors_is_refused():
    """Its grid and codes are the same; dalle-icons reads the vectors of the codes, and these have 14 numbers, not 8."""
    told = "With lfq-f16@.* for vqgan-f16@.*, of which the net is made: .*do not fit"
    with pytest.raises(WeightsError, match=told):
        zoo.compose("dalle-icons", tokenizer="lfq-f16")
    with pytest.raises(RequestError, match=r"grid of latents: needs \(8, 8\), vqgan-f8@.* has"):
        zoo.compose("dalle-icons", tokenizer="vqgan-f8")
