"""flax's MessagePack read strictly: arrays as they were written, anything else refused."""

import struct

import pytest
import torch

from zoo.errors import ForeignError
from zoo.foreign import open_checkpoint


def text(value: str) -> bytes:
    return bytes([0xD9, len(value)]) + value.encode()


def mapping(*pairs: tuple[str, bytes]) -> bytes:
    return bytes([0x80 | len(pairs)]) + b"".join(text(key) + value for key, value in pairs)


def extension(kind: int, content: bytes) -> bytes:
    return b"\xc9" + struct.pack(">Ib", len(content), kind) + content


def array(tensor: torch.Tensor, name: str, kind: int = 1) -> bytes:
    numbers = bytes(tensor.contiguous().view(torch.uint8).flatten().tolist())
    shape = bytes([0x90 | tensor.ndim, *tensor.shape])
    return extension(
        kind, b"\x93" + shape + text(name) + b"\xc6" + struct.pack(">I", len(numbers)) + numbers
    )


def opened(folder, content: bytes):
    (folder / "any.msgpack").write_bytes(content)
    return open_checkpoint(folder / "any.msgpack").tensors()


def test_arrays_keep_names_shapes_types_and_numbers(tmp_path):
    first = torch.randn(2, 3)
    second = torch.randn(4).bfloat16()
    content = mapping(
        (
            "model",
            mapping(("kernel", array(first, "float32")), ("scale", array(second, "bfloat16"))),
        )
    )
    (tmp_path / "flax_model.msgpack").write_bytes(content)
    opened = open_checkpoint(tmp_path)
    assert opened.keys == {"model/kernel": (2, 3), "model/scale": (4,)}
    found = opened.tensors()
    assert list(found) == ["model/kernel", "model/scale"]
    assert torch.equal(found["model/kernel"], first)
    assert found["model/scale"].dtype == torch.bfloat16
    assert torch.equal(found["model/scale"], second)


def test_an_array_in_pieces_is_joined(tmp_path):
    whole = torch.arange(6, dtype=torch.int32).view(2, 3)
    chunks = mapping(("0", array(whole[0], "int32")), ("1", array(whole[1], "int32")))
    value = mapping(
        ("__msgpack_chunked_array__", b"\xc3"),
        ("shape", mapping(("0", b"\x02"), ("1", b"\x03"))),
        ("chunks", chunks),
    )
    assert torch.equal(opened(tmp_path, mapping(("x", value)))["x"], whole)


SOUND = mapping(("x", array(torch.ones(2), "float32")))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (SOUND[:-1], "ends at byte"),
        (SOUND + b"\x00", "goes on for 1 bytes"),
        (mapping(("x", array(torch.ones(2), "object"))), "'object' are not read"),
        (mapping(("x", array(torch.ones(2), "float64"))), "should have 16 bytes"),
        (mapping(("x", extension(2, b"\x93"))), "extension type 2"),
        (mapping(("x", b"\x07")), "x is no array"),
        (b"\x81\x01\x02", "1 is no name"),
        (b"\x91" * 100, "nested more than"),
        (b"\xdd\xff\xff\xff\xff", "ends at byte"),
        (b"\xc1", "no MessagePack"),
        (b"\x80", "holds no arrays"),
    ],
)
def test_anything_else_is_refused(tmp_path, content, words):
    with pytest.raises(ForeignError, match=words):
        opened(tmp_path, content)
