"""Damaged, cut, foreign and mismatched archives are told, every one of them."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from coded_pictures import BINARY, CHAIN, GREY, smooth
from PIL import Image

import zoo
from zoo.codec import Picture, pack, stream, unpack
from zoo.codec.fields import Reader, Writer
from zoo.errors import CodecError, WeightsError


@pytest.fixture
def archive(chain):
    pictures = [
        Picture(smooth(1, 3, 6, 9)[0], "RGB", "one.png"),
        Picture(smooth(1, 3, 2, 2)[0], "RGB", "b.png"),
    ]
    return pack(chain, pictures).data


def test_every_change_of_a_byte_is_detected(archive):
    """All 255 other values of each byte of the archive: none passes."""
    for place in range(len(archive)):
        for change in range(1, 256):
            wrong = bytearray(archive)
            wrong[place] ^= change
            with pytest.raises(CodecError):
                stream.read(bytes(wrong))


def test_decompress_refuses_a_damaged_archive(archive, chain):
    for place in range(0, len(archive), 7):
        wrong = bytearray(archive)
        wrong[place] ^= 16
        with pytest.raises(CodecError, match=r"damaged|no archive|format"):
            zoo.decompress(bytes(wrong), chain)


def test_every_truncation_is_detected(archive, chain):
    for length in range(len(archive)):
        with pytest.raises(CodecError, match=r"cut short|empty|no archive"):
            zoo.decompress(archive[:length], chain)
    with pytest.raises(CodecError, match="damaged"):
        zoo.decompress(archive + b"\0", chain)


def test_foreign_files_are_named(tmp_path, chain):
    Image.fromarray(smooth(1, 1, 9, 9)[0, 0]).save(tmp_path / "a.png")
    for data, kind in (
        ((tmp_path / "a.png").read_bytes(), "a PNG picture"),
        (b"PK\3\4 and so on", "a zip archive"),
        (b"hello", "something else"),
        (b"\x89zoo\n\x1a\n", "something else"),
    ):
        with pytest.raises(CodecError, match=f"no archive of `zoo compress`.*{kind}"):
            zoo.decompress(data, chain)


def sealed(body):
    from hashlib import blake2b

    return body + blake2b(body, digest_size=stream.DIGEST).digest()


def test_an_archive_of_a_later_format_says_so(archive, chain):
    later = bytearray(archive[: -stream.DIGEST])
    later[8] = 2
    with pytest.raises(CodecError, match="format 2, this genzoo reads 1: install a newer one"):
        zoo.decompress(sealed(bytes(later)), chain)


def test_a_sealed_archive_with_wrong_facts_is_an_error_too(archive, chain):
    """Not by accident, then: somebody wrote it. Nothing but our own errors may come of it."""
    body = archive[: -stream.DIGEST]
    for place in range(9, len(body), 13):
        wrong = bytearray(body)
        wrong[place] ^= 5
        try:
            back = zoo.decompress(sealed(bytes(wrong)), chain)
        except zoo.ZooError:
            continue
        assert len(back) == 2  # a name or a word that changes no pixel


def test_facts_are_read_as_written(archive):
    facts, coded = stream.read(archive)
    assert stream.write(facts, coded) == archive
    assert facts.model == "chain@1.0.0"
    assert facts.names == ("one.png", "b.png")
    assert facts.sizes == ((6, 9), (2, 2))
    assert len(facts.weights[0]) == 64


def test_fields_come_back():
    out = Writer()
    out.number(0, 127, 128, 300, 2**40)
    out.text("zoö")
    take = Reader(out.done())
    assert take.numbers(5) == (0, 127, 128, 300, 2**40)
    assert take.text() == "zoö"
    assert take.rest == 0
    with pytest.raises(IndexError):
        take.number()


def test_other_weights_are_refused_naming_both(make, tmp_path):
    model = make(CHAIN)
    data = zoo.compress(model, -torch.ones(1, 3, 6, 6))
    other = make(CHAIN, seed=1)
    one, two = model.card.weights[0][:12], other.card.weights[0][:12]
    for given in (other, None):
        with pytest.raises(
            WeightsError, match=f"weights {one}; chain@1.0.0 here has weights {two}"
        ):
            zoo.decompress(data, given)


def test_weights_of_another_precision_are_refused(chain):
    data = zoo.compress(chain, -torch.ones(1, 3, 6, 6))
    half = zoo.load("chain", dtype=torch.bfloat16)
    with pytest.raises(WeightsError, match=r"fingerprint.*another dtype, or changed"):
        zoo.decompress(data, half)
    again = zoo.compress(half, -torch.ones(1, 3, 6, 6))
    assert torch.equal(zoo.decompress(again, half).tensor, -torch.ones(1, 3, 6, 6))


def test_a_model_that_is_not_here_is_named(chain, tmp_path):
    data = zoo.compress(chain, -torch.ones(1, 3, 6, 6))
    kept = tmp_path / "elsewhere"
    shutil.move(tmp_path / "models" / "chain", kept)
    with pytest.raises(zoo.UnknownModel, match=r"made with chain@1.0.0.*-m, or model="):
        zoo.decompress(data)
    assert torch.equal(zoo.decompress(data, zoo.load(kept)).tensor, -torch.ones(1, 3, 6, 6))


def test_a_family_that_codes_otherwise_now_is_told(make):
    model = make(GREY)
    data = zoo.compress(model, -torch.ones(1, 1, 6, 6))
    facts, coded = stream.read(data)
    with pytest.raises(CodecError, match="codes otherwise than it did"):
        unpack(stream.write(replace(facts, length=35), coded), model)


def test_wrong_pixels_are_told_by_their_name(make):
    """A wrong checksum, as if the decoder had come to other pixels."""
    model = make(BINARY)
    pictures = [
        Picture(each, "L", f"{n}.png") for n, each in enumerate(smooth(3, 1, 8, 8, binary=True))
    ]
    facts, coded = stream.read(pack(model, pictures).data)
    checks = (facts.checks[0], b"xy", facts.checks[2])
    with pytest.raises(CodecError, match=r"1 of 3 have a wrong checksum, the first is 1\.png"):
        unpack(stream.write(replace(facts, checks=checks), coded), model)
    with pytest.raises(CodecError, match="not decoded exactly"):
        unpack(stream.write(replace(facts, contents=bytes(16)), coded), model)
    assert np.array_equal(unpack(stream.write(facts, coded), model)[1].pixels, pictures[1].pixels)
