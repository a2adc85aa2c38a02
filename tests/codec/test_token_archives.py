"""Tokens through the codec: they come back exactly, the pictures as decoded, and it is said plainly."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from coded_pictures import CHAIN, smooth
from PIL import Image

import zoo
from zoo.cli import cli
from zoo.codec import Picture, pack, stream, unpack
from zoo.errors import CodecError, RequestError, WeightsError
from zoo.evaluate.equal_bytes import of_archive, of_tokens
from zoo.images import from_uint8, to_uint8


def given(count, height=8, width=8):
    return [Picture(each, "RGB", f"{n}.png")
            for n, each in enumerate(smooth(count, 3, height, width))]  # fmt: skip


def tokens_of(model, pictures):
    images = from_uint8(torch.from_numpy(np.stack([each.pixels for each in pictures])))
    return model.encode(images)


@pytest.mark.parametrize("text", [None, "dark dark"])
def test_pictures_come_back_as_their_tokens_decode(words, text):
    model = words if text is None else words.condition(text=text)
    pictures = given(70)
    packed = pack(model, pictures, lossy=True)
    for back in (unpack(packed.data, words), unpack(packed.data)):
        wanted = to_uint8(words.decode(tokens_of(words, pictures)).tensor)
        assert torch.equal(torch.from_numpy(np.stack([each.pixels for each in back])), wanted)
        assert [each.name for each in back] == [each.name for each in pictures]
    assert any((one.pixels != two.pixels).any() for one, two in zip(back, pictures, strict=True))
    nats = model.log_prob(from_uint8(torch.from_numpy(np.stack([p.pixels for p in pictures])))).nats
    assert packed.ideal == pytest.approx(-float(nats.double().sum()) / math.log(2), rel=1e-4)
    assert packed.payload < packed.ideal + 96
    assert packed.tokens == 70 * 4
    assert stream.read(packed.data)[0].lossy


def test_a_caption_that_fits_makes_tokens_cheaper(words):
    blue = to_uint8(words.decode(torch.full((9, 2, 2), 2)).tensor).numpy()
    ideal = [
        pack(words.condition(text=text), [Picture(each, "RGB") for each in blue],
             lossy=True).ideal
        for text in ("blue", "red")
    ]  # fmt: skip
    assert ideal[0] < ideal[1] / 10


def test_loss_must_be_asked_for_and_only_where_it_is(words, make):
    images = from_uint8(torch.from_numpy(smooth(1, 3, 8, 8)))
    with pytest.raises(RequestError, match=r"words@1.0.0 codes the tokens of pictures.*--lossy"):
        zoo.compress(words, images)
    chain = make(CHAIN)
    with pytest.raises(RequestError, match=r"chain@1.0.0 codes pixels.*leave --lossy"):
        zoo.compress(chain, from_uint8(torch.from_numpy(smooth(1, 3, 6, 6))), lossy=True)
    assert isinstance(zoo.decompress(zoo.compress(words, images, lossy=True)), zoo.Images)


def test_any_size_and_mode(words):
    pictures = [
        Picture(smooth(1, 3, 13, 7)[0], "RGB"),
        Picture(smooth(1, 1, 8, 20)[0], "L"),
        Picture(smooth(1, 1, 3, 3, binary=True)[0], "1"),
    ]
    packed = pack(words, pictures, lossy=True)
    back = unpack(packed.data)
    assert [(each.mode, each.pixels.shape) for each in back] == [
        (each.mode, each.pixels.shape) for each in pictures
    ]
    assert set(np.unique(back[2].pixels)) <= {0, 255}
    assert packed.tokens == 4 * (2 + 3 + 1)  # every token of every tile


def test_the_checksums_are_of_tokens(words):
    data = pack(words, given(3), lossy=True).data
    facts, coded = stream.read(data)
    assert stream.write(facts, coded) == data
    checks = (facts.checks[0], b"xy", facts.checks[2])
    with pytest.raises(CodecError, match=r"1 of 3 have a wrong checksum, the first is 1\.png"):
        unpack(stream.write(replace(facts, checks=checks), coded), words)
    with pytest.raises(CodecError, match="not decoded exactly"):
        unpack(stream.write(replace(facts, lossy=False), coded), words)


def test_another_tokenizer_is_refused(words, make):
    chain = make(CHAIN)
    other = replace(words, parts={"tokenizer": chain})
    data = pack(other, given(1), lossy=True).data
    assert unpack(data, other)
    with pytest.raises(WeightsError, match=r"weights \w{12} \+ \w{12}; words@1.0.0 here"):
        unpack(data, words)


def test_the_commands_say_what_is_lost(words, tmp_path):
    Image.fromarray(smooth(1, 3, 8, 8)[0].transpose(1, 2, 0)).save(tmp_path / "a.png")

    def run(*arguments):
        return CliRunner().invoke(cli, [*map(str, arguments)])

    out = tmp_path / "a.zoo"
    arguments = ("compress", tmp_path / "a.png", "-m", "words", "-o", out, "-c", "text=blue")
    assert "--lossy" in str(run(*arguments).exception)
    assert not out.exists()
    told = run(*arguments, "--lossy", "--check").output
    assert "lossy: 4 tokens" in told
    assert "come back exactly; the pictures come back as its own decoder decodes them" in told
    assert json.loads(run(*arguments, "--lossy", "--json").output)["lossy"] is True
    back = run("decompress", out, "-o", tmp_path / "back")
    assert back.exit_code == 0
    assert "as their tokens decode" in back.output
    assert (tmp_path / "back" / "a.png").is_file()


def test_beside_image_codecs_its_bytes_are_the_archive_s(words):
    pictures = torch.from_numpy(np.stack([each.pixels for each in given(9)]))
    size, back = of_archive(words, pictures)
    assert (
        size
        == len(pack(words, [Picture(each, "RGB") for each in pictures.numpy()], lossy=True).data)
        / 9
    )
    fixed, same = of_tokens(words, pictures)
    assert fixed == 1  # four tokens of four codes
    assert torch.equal(back, same)
