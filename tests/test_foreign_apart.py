"""Strangers' files are read by a process that can do nothing else, and its answer is not believed."""

import json
import os
import socket
import struct
import subprocess
import sys
import zipfile

import pytest
import torch
from torch import nn

from zoo.apart import child
from zoo.apart.described import ITEM_SIZES, NAMES
from zoo.errors import ForeignError
from zoo.foreign import open_checkpoint, reading, rebuilding
from zoo.foreign.modules import module_state
from zoo.foreign.reading import Limits

TRY = """
import ctypes, importlib, json, os, socket, subprocess
from zoo.apart import guard
shut, port, folder = sys.argv[1] == "shut", int(sys.argv[2]), sys.argv[3]
held = os.open(os.path.join(folder, "held"), os.O_WRONLY | os.O_CREAT)
standing = guard.shut(2**30, 60) if shut else []
there, proof = os.path.join(folder, "there"), os.path.join(folder, "proof")
tries = {
    "socket": socket.socket,
    "connect": lambda: socket.create_connection(("127.0.0.1", port), 1),
    "resolve": lambda: socket.getaddrinfo("127.0.0.1", port),
    "run": lambda: subprocess.run([sys.executable, "-c", ""]),
    "write": lambda: open(proof, "w"),
    "descriptor": lambda: os.open(proof, os.O_WRONLY | os.O_CREAT),
    "read": lambda: open(there),
    "held": lambda: os.write(held, b"x"),
    "remove": lambda: os.remove(there),
    "folder": lambda: os.mkdir(proof + "s"),
    "machine code": lambda: ctypes.CDLL(None),
    "import": lambda: importlib.import_module("this"),
    "eval": lambda: eval("1"),
}
if shut:
    tries["system"] = lambda: os.system("exit 1")
    if os.name == "posix":
        tries["fork"] = os.fork
        tries["exec"] = lambda: os.execv(sys.executable, ["python", "-c", "print('no')"])
        tries["spawn"] = lambda: os.posix_spawn(sys.executable, ["python"], {})
        tries["kill"] = lambda: os.kill(os.getpid(), 0)
said = {}
for name, attempt in tries.items():
    try:
        attempt()
        said[name] = "done"
    except BaseException as error:
        said[name] = f"{type(error).__name__}: {error}"
sys.stdout.write("\\n" + json.dumps({"said": said, "standing": standing, "environment": dict(os.environ)}))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("shut", [True, False])
def test_behind_the_guard_nothing_can_be_done(tmp_path, monkeypatch, shut):
    for name in ("HF_TOKEN", "HTTPS_PROXY", "PYTHONPATH", "ZOO_HUB_TOKEN"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = reading.start(
            TRY, "shut" if shut else "open", str(port), str(tmp_path), stdin=subprocess.DEVNULL
        )
        told = json.loads(program.communicate()[0].rpartition(b"\n")[2])
    assert not any("secret" in value for value in told["environment"].values())
    assert set(told["environment"]) <= {"LC_ALL", *reading._KEPT}
    said = told["said"]
    if not shut:  # so the list above is of things that would have been done
        assert set(said.values()) == {"done"}
        return
    assert "audit hook" in told["standing"]
    if "RLIMIT_FSIZE" in told["standing"]:
        assert said.pop("held").startswith("OSError")
    else:
        said.pop("held")
    for name, words in said.items():
        assert words.startswith("PermissionError"), (name, words)
        assert "is refused while a stranger's file is read" in words
    assert (tmp_path / "there").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["held", "there"]


def saved(folder, form):
    """A file in that form."""
    path = folder / f"any.{form}"
    if form == "msgpack":
        numbers = b"\x93\x91\x02\xa7float32\xc4\x08" + struct.pack("<2f", 1.0, 2.0)
        path.write_bytes(b"\x81\xa1x\xc7" + bytes([len(numbers), 1]) + numbers)
        return path
    shared = torch.randn(6)
    content = {
        "state_dict": {"a": shared, "b": shared.view(2, 3).t(), "c": torch.randn(3).bfloat16()},
        "hparams": {
            "lr": 0.1,
            "steps": 10**40,
            "name": "x" * 100,
            "raw": b"\x00\xff",
            "inf": -1e999,
        },
        "sets": [{1, "a"}, frozenset({(1, 2.5)}), None, True],
    }
    content["itself"] = content
    if form == "zip":
        content["net"] = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    return path


@pytest.mark.parametrize("form", ["zip", "legacy", "msgpack"])
def test_the_child_says_what_the_same_code_says_here(tmp_path, form):
    path = saved(tmp_path, form)
    with path.open("rb") as file:
        here = json.loads(child.describe(form, file, str(path)))
    assert reading.describe(path, form) == here
    found = rebuilding.contents(here, path, path.stat().st_size)
    if form == "msgpack":
        assert torch.equal(found["x"], torch.tensor([1.0, 2.0]))
        return
    content = torch.load(path, weights_only=False)
    assert list(found) == list(content)
    assert found["itself"] is found
    assert found["hparams"] == content["hparams"]
    assert found["sets"] == content["sets"]
    assert all(torch.equal(found["state_dict"][key], content["state_dict"][key]) for key in "abc")
    if form == "legacy":
        return
    state = dict(module_state(found["net"]))
    assert list(state) == list(content["net"].state_dict())
    for key, tensor in content["net"].state_dict().items():
        assert torch.equal(state[key], tensor)


def zipped(path, program):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("any/data.pkl", program)


ENCODE = (
    b"\x80\x02c_codecs\nencode\nq\x00X\x00\x00\x10\x00"
    + b"a" * 2**20
    + b"q\x01X\x06\x00\x00\x00latin1q\x02"
)
BOMBS = {
    "a key whose hash takes for ever": (b"\x80\x02})" + b"2\x86" * 60 + b"K\x01s.", "processor time"),
    "depth": (b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".", "nested more than 200 deep"),
    "claimed sizes": (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.", "cannot be read"),
    "claimed slots": (b"\x80\x02]r\xff\xff\xff\xff.", "holds no weights"),
    "memory": (ENCODE + b"](" + b"h\x00h\x01h\x02\x86R" * 1000 + b"e.", "more memory"),
    "length": (b"\x80\x02X\x40\x00\x00\x00" + b"a" * 64 + b"q\x00](" + b"h\x00" * 6 * 10**5 + b"e.", "letters"),
}  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="Windows has no limits of memory and time for this")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_an_error_within_seconds(tmp_path, monkeypatch, name):
    program, words = BOMBS[name]
    zipped(tmp_path / "bomb.pt", program)
    small = Limits(2**28, 2)
    monkeypatch.setattr(Limits, "of", classmethod(lambda cls, size: small))
    with pytest.raises(ForeignError, match=rf"bomb\.pt.*{words}"):
        open_checkpoint(tmp_path / "bomb.pt")


def test_limits_follow_the_size_of_the_file():
    four = Limits.of(4 * 2**30)
    assert four.memory > 4 * 2**30
    assert four.seconds > Limits.of(0).seconds >= 10


def test_options_that_unfold_without_end_are_refused(tmp_path):
    laughs = [1]
    for _ in range(40):
        laughs = [laughs, laughs]
    around = {}
    around["x"] = around
    for options, words in ((laughs, "unfold to more than"), (around, "too deep")):
        content = {"state_dict": {"w": torch.ones(1)}, "config": options}
        torch.save(content, tmp_path / "x.pt")
        with pytest.raises(ForeignError, match=rf"x\.pt.*{words}"):
            open_checkpoint(tmp_path / "x.pt")
    net = nn.Linear(1, 1)
    net._modules["itself"] = net
    torch.save(net, tmp_path / "net.pt")
    with pytest.raises(ForeignError, match="unfold to more than"):
        open_checkpoint(tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
            r"process that read it died \(",
        ),
        ("raise SystemExit(3)", "status 3"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("print('{')", "answered no JSON"),
        ("print('[]')", "answered no description"),
        ("while True: sys.stdout.write('x' * 2**20)", "description of more than"),
    ],
)
def test_a_child_that_dies_or_says_nonsense_is_an_error(tmp_path, monkeypatch, program, words):
    monkeypatch.setattr(reading, "MAIN", program)
    zipped(tmp_path / "any.pt", b"N.")
    with pytest.raises(ForeignError, match=rf"any\.pt.*{words}"):
        open_checkpoint(tmp_path / "any.pt")


def test_a_child_that_does_not_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAIN", "import time; time.sleep(600)")
    zipped(tmp_path / "any.pt", b"N.")
    with pytest.raises(ForeignError, match="took more than 0 s"):
        reading.describe(tmp_path / "any.pt", "zip", Limits(2**30, 0))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(ForeignError, match="no-python' cannot be started"):
        open_checkpoint(tmp_path / "any.pt")


STORAGE = ["float32", [[0, 4]]]
TENSOR = ["tensor", 0, "float32", 0, [4], [1]]


@pytest.mark.parametrize(
    ("storages", "nodes", "root"),
    [
        ([["float32", [[0, 2**20]]]], [TENSOR], [0]),  # past the file
        ([["float32", [[-4, 4]]]], [TENSOR], [0]),
        ([["float32", [[0, True]]]], [TENSOR], [0]),
        ([["float32", [[0.0, 4]]]], [TENSOR], [0]),
        ([["__class__", [[0, 4]]]], [TENSOR], [0]),
        ([STORAGE, ["int8", [[15, 1]]]], [TENSOR], [0]),  # on another
        ([STORAGE], [["tensor", 0, "float32", 0, [5], [1]]], [0]),
        ([STORAGE], [["tensor", 0, "float32", 1, [4], [1]]], [0]),
        ([STORAGE], [["tensor", 0, "float32", 0, [-4], [1]]], [0]),
        ([STORAGE], [["tensor", 0, "float32", 0, [4, 0], [1]]], [0]),
        ([STORAGE], [["tensor", 0, "float32", 0, [0, 2**60], [1, 1]]], [0]),
        ([STORAGE], [["tensor", 0, "complex128", 0, [2], [1]]], [0]),
        ([STORAGE], [["tensor", 1, "float32", 0, [4], [1]]], [0]),
        ([STORAGE], [["tensor", -1, "float32", 0, [4], [1]]], [0]),
        ([STORAGE], [TENSOR], [1]),
        ([STORAGE], [TENSOR], [-1]),
        ([STORAGE], [TENSOR], {}),
        ([STORAGE], [["tuple", [0]]], [0]),  # a tuple in itself
        ([], [["dict", 1]], [0]),
        ([], [["dict", [1], 1], ["list"]], [0]),
        ([], [["dict", [1], 1], ["tuple", *range(100)]], [0]),  # a heavy key
        ([], [["object", [1], [1], 0, 0, 0, 0], ["list"]], [0]),
        ([], [["object", [1], 0, 0, 0, 0, 0], ["class", "os.system"]], [0]),
        ([], [["kind", "load"]], [0]),
        ([], [["call", "os.system"]], [0]),
        ([], [["bytes", "not base64"]], [0]),
        ([], [3], [0]),
        ([], {}, 0),
        (None, [], 0),
    ],
)
def test_a_description_that_cannot_be_is_refused(tmp_path, storages, nodes, root):
    path = tmp_path / "any.pt"
    path.write_bytes(bytes(16))
    answer = {"storages": storages, "nodes": nodes, "root": root}
    with pytest.raises(ForeignError, match=r"any\.pt"):
        rebuilding.contents(answer, path, 16)
    sound = {"storages": [STORAGE], "nodes": [TENSOR], "root": [0]}
    assert torch.equal(rebuilding.contents(sound, path, 16), torch.zeros(4))
    with pytest.raises(ForeignError, match=r"any\.pt"):
        rebuilding.contents({**sound, "more": 1}, path, 16)


def test_the_childs_types_are_torchs():
    for name in dir(torch):
        if isinstance(dtype := getattr(torch, name), torch.dtype):
            assert f"torch.{NAMES[name]}" == str(dtype)
            assert ITEM_SIZES[NAMES[name]] == dtype.itemsize


def test_the_child_imports_pythons_own_modules_only():
    program = (
        "from zoo.apart import child\n"
        "roots = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(roots - {'zoo', '__main__'}))"
    )
    with reading.start(program, stdin=subprocess.DEVNULL) as process:
        assert process.communicate()[0].strip() == b"[]"
