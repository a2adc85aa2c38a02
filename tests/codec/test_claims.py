"""Archives with a right checksum that claim more than their bytes can bear: refused before memory is taken."""

import zlib
from dataclasses import replace

import pytest
import torch
from coded_pictures import CHAIN, LATENT

import zoo
from zoo.codec import claims, stream, unpack
from zoo.codec.fields import Reader, Writer
from zoo.errors import CodecError


@pytest.fixture
def parts(chain):
    return stream.read(zoo.compress(chain, -torch.ones(2, 3, 6, 6)))


def test_a_picture_of_a_million_by_a_million(parts, chain):
    facts, coded = parts
    huge = replace(facts, sizes=((999_996, 999_996),) * 2, pads=(b"",) * 2)
    data = stream.write(huge, coded)
    with pytest.raises(
        CodecError, match=rf"has {len(data)} bytes and claims pictures of 5,999,9.*numbers"
    ):
        unpack(data, chain)


def test_more_than_the_machine_holds(chain, monkeypatch):
    """Within what its bytes can bear, but 2 x 108 symbols of 9 bytes are more than this memory."""
    data = zoo.compress(chain, -torch.ones(2, 3, 6, 6))
    monkeypatch.setattr(claims, "memory", lambda: 9 * 216)
    assert len(unpack(data, chain)) == 2
    monkeypatch.setattr(claims, "memory", lambda: 9 * 216 - 1)
    with pytest.raises(CodecError, match=r"claims 216 symbols.*and this machine has"):
        unpack(data, chain)


def test_many_pictures_of_one_size(parts, chain):
    """The count alone is claimed, once for all: no list of so many is made."""
    facts, coded = parts
    block = Writer()
    real = stream._facts(facts, coded)
    head = Writer()  # pictures, flags, mode, height, width, as `_facts` lays them out
    head.number(2, stream.SAME, 1, 6, 6)
    assert real.count(head.done()) == 1
    block.number(10**15, stream.SAME, 1, 6, 6)
    with pytest.raises(CodecError, match=r"1,000,000,000,000,000 pictures in 64 lanes do not fit"):
        unpack(sealed(real.replace(head.done(), block.done())), chain)


def test_facts_that_swell(chain):
    block = zlib.compress(bytes(50_000_000), 9, wbits=-15)
    with pytest.raises(CodecError, match=r"swell to more than [\d,]+: no archive"):
        unpack(sealed(b"\1" + block, raw=True), chain)


@pytest.mark.parametrize(
    "change", [{"image": (3, 0, 6)}, {"sizes": ((0, 6), (0, 6))}, {"lanes": 0}]
)
def test_sides_and_lanes_of_nothing(parts, chain, change):
    facts, coded = parts
    changed = replace(facts, **change)
    if change.get("image"):
        changed = replace(changed, image=facts.image)
        data = stream._facts(changed, coded).replace(bytes([3, 6, 6, 24]), bytes([3, 0, 6, 24]))
        data = sealed(data)
    else:
        data = stream.write(changed, coded)
    with pytest.raises(CodecError, match="facts cannot be read"):
        unpack(data, chain)


@pytest.mark.parametrize("request_text", ["[1]", "{", "[" * 100_000])
def test_conditions_that_are_none(parts, chain, request_text):
    facts, coded = parts
    with pytest.raises(CodecError, match="facts cannot be read"):
        unpack(stream.write(replace(facts, request=request_text), coded), chain)


def test_groups_without_end(make):
    model = make(LATENT, "latent")
    facts, coded = stream.read(zoo.compress(model, -torch.ones(2, 1, 8, 8)))
    for runs in (((1, 10**15),), ((0, 10**15), (2, 1))):
        with pytest.raises(CodecError, match="groups hold"):
            unpack(stream.write(facts, replace(coded, runs=runs)), model)


def test_a_number_without_end():
    with pytest.raises(ValueError, match="beyond ten bytes"):
        Reader(b"\xff" * 10**6).number()


def test_later_flags_say_so(parts, chain):
    facts, coded = parts
    head, other = Writer(), Writer()
    head.number(2, stream.SAME, 1, 6, 6)
    other.number(2, stream.SAME | 64, 1, 6, 6)
    data = sealed(stream._facts(facts, coded).replace(head.done(), other.done()))
    with pytest.raises(CodecError, match="flags 65 are of a later genzoo"):
        unpack(data, chain)


def test_what_is_written_is_what_can_be_read(make, monkeypatch):
    """`pack` holds itself to the bound: with one so low that its archive breaks it, it says so."""
    model = make(CHAIN)
    monkeypatch.setattr(claims, "NUMBERS", 1)
    with pytest.raises(CodecError, match="compress fewer of them"):
        zoo.compress(model, -torch.ones(9, 3, 6, 6))


def sealed(block, raw=False):
    """An archive of these facts, and no words, with a right checksum."""
    from hashlib import blake2b

    block = block if raw else b"\0" + block
    head = Writer()
    head.number(len(block))
    body = stream.MAGIC + bytes([stream.VERSION]) + head.done() + block
    return body + blake2b(body, digest_size=stream.DIGEST).digest()
