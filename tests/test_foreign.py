"""Strangers' checkpoints are read exactly, and nothing in them is ever run."""

import collections
import io
import json
import os
import pickle
import subprocess
import types
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zoo.errors import ForeignError
from zoo.foreign import open_checkpoint

STATE = {
    "encoder.weight": torch.randn(4, 3, 2, 2),
    "half": torch.randn(5).half(),
    "brain": torch.randn(3, 2).bfloat16(),
    "steps": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "turned": torch.randn(3, 4).t(),
    "part": torch.randn(10)[2:7],
    "none": torch.empty(0, 3),
}


def same(got, want):
    assert list(got) == list(want)
    for name, tensor in want.items():
        assert got[name].dtype is tensor.dtype
        assert torch.equal(got[name], tensor), name


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("entry", ["", "state_dict", "model", "ema", "weights"])
def test_what_torch_saved_comes_back_as_it_was(tmp_path, zipped, entry):
    path = tmp_path / "any.ckpt"
    content = {entry: STATE, "epoch": 3} if entry else STATE
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    foreign = open_checkpoint(path)
    assert foreign.state == entry
    assert foreign.keys == {name: tuple(tensor.shape) for name, tensor in STATE.items()}
    same(foreign.tensors(), STATE)


def test_zip_storages_are_mapped_and_writing_leaves_the_file_alone(tmp_path):
    path = tmp_path / "any.pt"
    torch.save({"w": torch.zeros(1000)}, path)
    before = path.read_bytes()
    weights = open_checkpoint(path).tensors()["w"]
    weights.add_(1)
    assert path.read_bytes() == before
    with (
        Path("/proc/self/maps").open()
        if Path("/proc/self/maps").exists()
        else io.StringIO(str(path)) as maps
    ):
        assert str(path) in maps.read()


def test_tied_tensors_stay_tied(tmp_path):
    shared = torch.randn(6)
    torch.save({"a": shared, "b": shared.view(2, 3)}, tmp_path / "tied.pt")
    found = open_checkpoint(tmp_path / "tied.pt").tensors()
    assert found["a"].data_ptr() == found["b"].data_ptr()


def test_safetensors_and_a_diffusers_folder_with_its_config(tmp_path):
    save_file({"w": torch.ones(2, 2)}, tmp_path / "diffusion_pytorch_model.safetensors")
    (tmp_path / "config.json").write_text('{"_class_name": "VQModel", "in_channels": 3}')
    foreign = open_checkpoint(tmp_path)
    assert foreign.config == {"_class_name": "VQModel", "in_channels": 3}
    assert foreign.keys == {"w": (2, 2)}
    same(foreign.tensors(), {"w": torch.ones(2, 2)})


def test_taming_run_folders_and_yaml_beside_the_weights(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "configs").mkdir()
    torch.save({"state_dict": {"w": torch.ones(1)}}, tmp_path / "checkpoints" / "last.ckpt")
    yaml = tmp_path / "configs" / "2020-11-09T13-33-36-project.yaml"
    yaml.write_text("model:\n  params:\n    n_embed: 1024\n")
    foreign = open_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert foreign.config == {"model": {"params": {"n_embed": 1024}}}
    assert foreign.config_path == yaml


def module(name, **members):
    """A module that exists while a pickle is written and is gone when it is read."""
    made = types.ModuleType(name)
    for key, value in members.items():
        value.__module__ = name
        value.__qualname__ = key
        setattr(made, key, value)
    return made


def test_lightning_class_keys_and_strange_options_are_inert(tmp_path, monkeypatch):
    callback = type("ModelCheckpoint", (), {})
    options = type("AttributeDict", (dict,), {})
    node = type("DictConfig", (), {})
    held = node()
    held.__dict__["_content"] = {"ch": 128, "ch_mult": [1, 2]}
    with monkeypatch.context() as patch:
        strange = module("pl", ModelCheckpoint=callback, AttributeDict=options, DictConfig=node)
        patch.setitem(__import__("sys").modules, "pl", strange)
        content = {
            "state_dict": collections.OrderedDict(w=torch.ones(2)),
            "callbacks": {callback: {"best": torch.tensor(0.5)}},
            "hyper_parameters": options(lr=0.1, ddconfig=held),
        }
        torch.save(content, tmp_path / "last.ckpt")
    foreign = open_checkpoint(tmp_path / "last.ckpt")
    same(foreign.tensors(), {"w": torch.ones(2)})
    assert foreign.config == {"lr": 0.1, "ddconfig": {"ch": 128, "ch_mult": [1, 2]}}
    (key,) = foreign.nested["callbacks"]
    assert key.qualified == "pl.ModelCheckpoint"


def test_a_whole_pickled_module_gives_its_state(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    torch.save(net, tmp_path / "net.pt")
    found = open_checkpoint(tmp_path / "net.pt").tensors()
    assert set(found) == set(net.state_dict())
    assert torch.equal(found["0.weight"], net[0].weight)


class Evil:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def evil(path, *call, zipped=True):
    content = {"state_dict": {"w": torch.ones(1)}, "x": Evil(*call)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("how", ["os.system", "eval", "exec", "getattr", "popen", "import", "open"])
def test_code_is_refused_by_name_and_never_run(tmp_path, how, zipped):
    proof = tmp_path / "proof"
    calls = {
        "os.system": (os.system, f"touch {proof}"),
        "eval": (eval, f"open({str(proof)!r}, 'w')"),
        "exec": (exec, f"open({str(proof)!r}, 'w')"),
        "getattr": (getattr, "text", "upper"),
        "popen": (subprocess.Popen, ["touch", str(proof)]),
        "import": (__import__, "antigravity"),
        "open": (open, str(proof), "w"),
    }
    evil(tmp_path / "evil.ckpt", *calls[how], zipped=zipped)
    with pytest.raises(
        ForeignError, match=r"evil\.ckpt carries code: it asks for [\w.]+"
    ) as caught:
        open_checkpoint(tmp_path / "evil.ckpt")
    assert "Nothing was executed" in str(caught.value)
    assert not proof.exists()


def test_a_strangers_function_is_not_called(tmp_path, monkeypatch):
    called = []

    def function(*args):
        called.append(args)

    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "pkg", module("pkg", run=function))
        evil(tmp_path / "odd.ckpt", function, 1)
        assert open_checkpoint(tmp_path / "odd.ckpt").nested["x"].args == (1,)
    assert called == []


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "empty"),
        (b"hello, world, this is text", "neither safetensors nor"),
        (b"PK\x03\x04" + bytes(100), "damaged zip"),
        (pickle.dumps({"a": 1}), "not a torch checkpoint"),
        (b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR.", "os.system"),
        (b"\x80\x02\x82\x01.", "extension code"),
        (b"\x80\x02]]a.", "holds a list"),
        (b"\x80\x02\x8d" + b"\xff" * 8, "cannot be read"),
    ],
)
def test_other_files_are_refused_with_a_reason(tmp_path, payload, said):
    path = tmp_path / "file.pt"
    path.write_bytes(payload)
    with pytest.raises(ForeignError, match=said):
        open_checkpoint(path)


def rewrite(path, change):
    """Copy a torch zip with its data.pkl changed, all stored."""
    with zipfile.ZipFile(path) as old:
        records = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, data in records.items():
            new.writestr(name, change(name, data))


def test_a_tensor_reaching_past_its_storage_is_refused(tmp_path):
    path = tmp_path / "far.pt"
    torch.save({"w": torch.zeros(3, 5)}, path)
    before, after = b"K\x03K\x05\x86", b"K\x04K\x05\x86"
    rewrite(path, lambda name, data: data.replace(before, after))
    with pytest.raises(ForeignError, match="reaches past its storage of 15 numbers"):
        open_checkpoint(path)


def test_a_storage_cut_short_is_refused(tmp_path):
    path = tmp_path / "short.pt"
    torch.save({"w": torch.zeros(30)}, path)
    rewrite(path, lambda name, data: data[:80] if name.endswith("/data/0") else data)
    with pytest.raises(ForeignError, match="cut off"):
        open_checkpoint(path)
    torch.save({"w": torch.zeros(30)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ForeignError, match="cut off"):
        open_checkpoint(path)


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"w": torch.zeros(30)}, path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ForeignError, match=r"w\.safetensors is not a sound safetensors file"):
        open_checkpoint(path)


def test_configs_that_are_no_mapping_or_do_not_parse_are_refused(tmp_path):
    save_file({"w": torch.zeros(3)}, tmp_path / "w.safetensors")
    for name, text in {
        "config.json": "[1]",
        "config.yaml": "a: [",
        "w.yaml": "x: !!python/object:os.system {}",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ForeignError, match=name.replace(".", r"\.")):
            open_checkpoint(tmp_path / "w.safetensors")
        (tmp_path / name).unlink()
    (tmp_path / "other.json").write_text(json.dumps({"a": 1}))
    found = open_checkpoint(tmp_path / "w.safetensors", config=tmp_path / "other.json")
    assert found.config == {"a": 1}


def test_a_folder_with_two_weights_files_must_be_told_which(tmp_path):
    for name in ("a", "b"):
        save_file({"w": torch.zeros(3)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(ForeignError, match=r"a\.safetensors, b\.safetensors\. Name the file"):
        open_checkpoint(tmp_path)
    with pytest.raises(ForeignError, match="no file or folder"):
        open_checkpoint(tmp_path / "c")
