import json
import os
import struct

import pytest
import torch
from torch import nn

from zoo import weights
from zoo.errors import PluginError, WeightsError
from zoo.safetensors_header import read_header


class Net(nn.Module):
    """Parameters, a buffer, tied weights, and a buffer that is in no file."""

    def __init__(self, width=3):
        super().__init__()
        self.first = nn.Linear(width, 4)
        self.second = nn.Linear(width, 4, bias=False)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("ramp", torch.arange(4.0), persistent=False)

    def reset_buffers(self):
        self.ramp = torch.arange(4.0)

    def forward(self, x):
        return self.norm(self.first(x) + self.second(x)) + self.ramp


def meta(kind=Net, **arguments):
    with torch.device("meta"):
        return kind(**arguments)


@pytest.fixture
def saved(tmp_path):
    """A net with values in everything, and its file."""
    torch.manual_seed(0)
    net = Net().eval()
    net.norm.running_mean.uniform_()
    weights.save(tmp_path / "model.safetensors", net.state_dict())
    return net, tmp_path / "model.safetensors"


def write(path, header, data=b"", length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def one(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_a_net_loaded_from_its_file_is_the_same_net(saved):
    net, path = saved
    again = weights.load_into(meta(), path)
    x = torch.randn(5, 3)
    assert torch.equal(again(x), net(x))
    assert not again.training


def test_tied_weights_are_stored_once_and_stay_tied(saved):
    _, path = saved
    assert "second.weight" not in read_header(path).tensors
    again = weights.load_into(meta(), path)
    assert again.second.weight is again.first.weight


def test_loading_neither_initialises_nor_draws(saved):
    before = torch.get_rng_state()
    weights.load_into(meta(), saved[1])
    assert torch.equal(before, torch.get_rng_state())


def test_training_does_not_write_into_the_file(saved):
    _, path = saved
    before = path.read_bytes()
    net = weights.load_into(meta(), path)
    with torch.no_grad():
        net.first.weight.add_(1)
    assert path.read_bytes() == before
    assert not torch.equal(net.first.weight, weights.read(path)["first.weight"])


def test_half_precision_is_a_way_to_store(tmp_path):
    net = nn.Linear(2, 2)
    for stored in (torch.float16, torch.bfloat16, torch.float8_e4m3fn):
        state = {name: value.to(stored) for name, value in net.state_dict().items()}
        weights.save(tmp_path / "half.safetensors", state)
        got = weights.load_into(nn.Linear(2, 2, device="meta"), tmp_path / "half.safetensors")
        assert got.weight.dtype == torch.float32
        assert torch.equal(got.weight, state["weight"].float())
    kept = weights.load_into(
        nn.Linear(2, 2, device="meta"), tmp_path / "half.safetensors", dtype=torch.bfloat16
    )
    assert kept.weight.dtype == torch.bfloat16


def test_dtype_leaves_whole_numbers_alone(saved):
    net = weights.load_into(meta(), saved[1], dtype=torch.float64)
    assert net.first.weight.dtype == net.norm.running_mean.dtype == torch.float64
    assert net.norm.num_batches_tracked.dtype == torch.int64


def test_a_difference_is_told_in_full(saved):
    net, path = saved
    state = dict(net.state_dict())
    state["frist.bias"] = state.pop("first.bias")
    state["norm.bias"] = torch.zeros(5)
    weights.save(path, state)
    with pytest.raises(WeightsError) as told:
        weights.load_into(meta(), path)
    text = str(told.value)
    assert text.startswith(f"{path}: the weights do not fit the net (7 tensors in the file, 8 in")
    assert "1 missing from the file:\n    first.bias Did you mean 'frist.bias'?" in text
    assert "1 not in the net:\n    frist.bias" in text
    assert "1 of another shape:\n    norm.bias: (5,) in the file, (4,) in the net" in text


def test_a_long_difference_is_cut(tmp_path):
    weights.save(tmp_path / "w.safetensors", {f"a{index}": torch.zeros(1) for index in range(30)})
    with pytest.raises(WeightsError, match=r"30 not in the net:(\n.*){8}\n    and 22 more"):
        weights.load_into(meta(), tmp_path / "w.safetensors")


def test_a_net_that_would_be_half_loaded_stays_on_meta(saved):
    _, path = saved
    net = meta(width=9)
    with pytest.raises(WeightsError, match="of another shape"):
        weights.load_into(net, path)
    assert all(each.is_meta for each in net.state_dict().values())


def test_whole_numbers_for_fractions_are_refused(tmp_path):
    weights.save(tmp_path / "w.safetensors", {"weight": torch.zeros(2, 2, dtype=torch.int64)})
    with pytest.raises(WeightsError, match=r"'weight' is torch\.int64, the net has torch\.float32"):
        weights.load_into(nn.Linear(2, 2, False, device="meta"), tmp_path / "w.safetensors")


def test_values_that_are_in_no_file_are_named(tmp_path):
    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2))
            self.register_buffer("ramp", torch.arange(2.0), persistent=False)
            self.hidden = torch.arange(2.0)

    weights.save(tmp_path / "w.safetensors", {"weight": torch.zeros(2)})
    with pytest.raises(PluginError, match=r"hidden, ramp of Forgetful .*reset_buffers\(\)"):
        weights.load_into(meta(Forgetful), tmp_path / "w.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_weights_that_are_not_finite_are_refused(tmp_path, value, dtype):
    from safetensors.torch import save_file

    state = {"good": torch.ones(4), "bad": torch.tensor([1.0, value], dtype=dtype)}
    with pytest.raises(WeightsError, match=r"1 tensors hold NaN or infinity: bad\. Training div"):
        weights.save(tmp_path / "w.safetensors", state)
    assert not (tmp_path / "w.safetensors").exists()
    save_file(state, tmp_path / "w.safetensors")
    digest = weights.sha256_of(tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"w\.safetensors: 1 tensors hold NaN or infinity: bad"):
        weights.read(tmp_path / "w.safetensors", digest)


def test_huge_finite_weights_are_not_taken_for_infinite():
    weights.refuse_not_finite({"huge": torch.full((4,), 3e38), "ints": torch.arange(3)}, "here")


def test_a_changed_file_is_refused(saved):
    _, path = saved
    digest, size = weights.sha256_of(path), path.stat().st_size
    weights.verify(path, digest, size)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=rf"{path}: its sha256 is \w+, the card says {digest}"):
        weights.verify(path, digest, size)
    path.write_bytes(data[:-1])
    with pytest.raises(WeightsError, match=rf"{path}: {size - 1} bytes, the card says {size}"):
        weights.verify(path, digest, size)
    path.unlink()
    with pytest.raises(WeightsError, match=r"the card names this file, but it cannot be read"):
        weights.verify(path, digest, size)


def test_a_large_file_is_read_once_and_again_when_touched(saved, monkeypatch):
    _, path = saved
    monkeypatch.setattr("zoo.weights.files.ALWAYS", 0)
    digest, stat = weights.sha256_of(path), path.stat()
    weights.verify(path, digest, again=False)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    with path.open("r+b") as file:  # in place: the same inode and size
        file.write(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    weights.verify(path, digest, again=False)  # trusted: nothing that a stat shows has changed
    with pytest.raises(WeightsError, match="its sha256 is"):
        weights.verify(path, digest)  # what `zoo verify` does
    os.utime(path)
    with pytest.raises(WeightsError, match="its sha256 is"):
        weights.verify(path, digest, again=False)


def test_a_store_that_cannot_be_written_only_costs_time(saved, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("zoo.weights.files.ALWAYS", 0)
    weights.verify(saved[1], weights.sha256_of(saved[1]), again=False)


def test_saving_is_all_or_nothing(saved, monkeypatch):
    import safetensors.torch

    net, path = saved
    before = path.read_bytes()

    def full(state, file, metadata):
        file.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="no space left"):
        weights.save(path, net.state_dict())
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("header", "data", "words"),
    [
        (b"", b"", r"not JSON"),
        (b"[]", b"", r"not a JSON object"),
        (b"\xff\xfe", b"", r"not JSON"),
        (b'{"a": 1', b"", r"not JSON"),
        (b"[" * 100_000, b"", r"not JSON"),
        (b'{"a": {}, "a": {}}', b"", r"a name stands twice"),
        ({"a": 3}, b"", r"'a' must have dtype, shape and data_offsets"),
        ({"a": {**one(), "code": "import os"}}, b"\0" * 8, r"and nothing else"),
        ({"a": one(dtype="F31")}, b"\0" * 8, r"unknown dtype 'F31'"),
        ({"a": one(dtype=["F32"])}, b"\0" * 8, r"unknown dtype"),
        ({"a": one(shape=(-2,))}, b"\0" * 8, r"must be whole numbers"),
        ({"a": one(shape=(2.0,))}, b"\0" * 8, r"must be whole numbers"),
        ({"a": one(shape=(True, 2))}, b"\0" * 8, r"must be whole numbers"),
        ({"a": one(shape=(2**62, 2**62))}, b"\0" * 8, r"must be whole numbers"),
        ({"a": one(shape=(2**40, 2**40))}, b"\0" * 8, r"does not fill 8 bytes"),
        ({"a": one(shape=(3,))}, b"\0" * 8, r"F32 \[3\] does not fill 8 bytes"),
        ({"a": one(offsets=(8, 0))}, b"\0" * 8, r"does not fill -8 bytes"),
        ({"a": one(offsets=(4, 12))}, b"\0" * 12, r"begins at byte 4, expected 0"),
        ({"a": one(), "b": one()}, b"\0" * 8, r"begins at byte 0, expected 8"),
        ({"a": one(), "b": one(offsets=(12, 20))}, b"\0" * 20, r"begins at byte 12, expected 8"),
        ({"a": one()}, b"\0" * 7, r"need 8 bytes, the file has 7"),
        ({"a": one()}, b"\0" * 9, r"need 8 bytes, the file has 9"),
        ({"__metadata__": {"format": 3}}, b"", r"__metadata__ must map text to text"),
    ],
)
def test_a_hostile_header_is_refused(tmp_path, header, data, words):
    path = write(tmp_path / "bad.safetensors", header, data)
    with pytest.raises(WeightsError, match=rf"^{path}: not a whole safetensors file: .*{words}.*d"):
        weights.read(path)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (2**64 - 1, r"claims 18446744073709551615 bytes, the file has"),
        (10_000, r"claims 10000 bytes, the file has"),
    ],
)
def test_a_header_longer_than_its_file_is_refused(tmp_path, length, words):
    path = write(tmp_path / "bad.safetensors", {"a": one()}, b"\0" * 8, length)
    with pytest.raises(WeightsError, match=words):
        weights.read(path)


def test_an_oversized_header_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "bad.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 1 << 33))
        file.truncate(1 << 34)  # a sparse file
    with pytest.raises(WeightsError, match=r"claims 8589934592 bytes, more than the 25000000"):
        weights.read(path)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 20])
def test_a_truncated_file_is_refused(saved, size):
    _, path = saved
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WeightsError, match=r"not a whole safetensors file.*fetch it again"):
        weights.read(path)


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(WeightsError, match=f"{path}: cannot read the weights"):
            weights.read(path)


def test_an_empty_tensor_and_a_scalar_are_read(tmp_path):
    state = {"empty": torch.zeros(0, 3), "scalar": torch.tensor(2.0)}
    weights.save(tmp_path / "w.safetensors", state)
    got = weights.read(tmp_path / "w.safetensors")
    assert got["empty"].shape == (0, 3)
    assert got["scalar"].item() == 2
