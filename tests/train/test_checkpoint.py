"""Checkpoints on disk: complete or not there, the last few kept, damage named."""

import pytest
import torch

from zoo.errors import WeightsError
from zoo.train import checkpoint

TENSORS = {"model": {"a": torch.arange(6.0).reshape(2, 3)}, "optimizer": {}}


def write(run, step, keep=2):
    return checkpoint.write(run, step, TENSORS, {"seconds": 1.5}, keep)


def test_what_was_written_is_read(tmp_path):
    tensors, state = checkpoint.read(write(tmp_path, 7))
    assert torch.equal(tensors["model"]["a"], TENSORS["model"]["a"])
    assert tensors["optimizer"] == {}
    assert (state["step"], state["seconds"]) == (7, 1.5)


def test_only_the_last_are_kept(tmp_path):
    for step in (5, 10, 15):
        write(tmp_path, step)
    assert [checkpoint.steps_of(folder) for folder in checkpoint.every(tmp_path)] == [10, 15]


def test_one_cut_short_is_no_checkpoint_and_is_swept(tmp_path):
    write(tmp_path, 5)
    cut = tmp_path / "checkpoints" / ".unfinished-00000010"
    cut.mkdir()
    (cut / "model.safetensors").write_bytes(b"half")
    assert [checkpoint.steps_of(folder) for folder in checkpoint.every(tmp_path)] == [5]
    write(tmp_path, 10)
    assert not cut.exists()


def test_tied_tensors_are_read_under_both_names(tmp_path):
    tied = torch.ones(3)
    folder = checkpoint.write(tmp_path, 1, {"model": {"in": tied, "out": tied}}, {}, 1)
    tensors, _ = checkpoint.read(folder)
    assert torch.equal(tensors["model"]["in"], tensors["model"]["out"])


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_a_damaged_one_is_named_with_the_remedy(tmp_path, name):
    folder = write(tmp_path, 3)
    (folder / name).write_bytes((folder / name).read_bytes()[:20])
    with pytest.raises(
        WeightsError, match=r"step-00000003 is damaged: .* Delete .* checkpoint before"
    ):
        checkpoint.read(folder)
