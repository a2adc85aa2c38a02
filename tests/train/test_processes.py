"""Other processes, for real: one killed, two that share the work, two that share the weights."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy
from safetensors.torch import load_file

from zoo.train import checkpoint, train
from zoo.train.recipe import parse

TOY = Path(toy.__file__)
ROOT = TOY.parents[2]
FILES = ("model", "ema", "modules", "buffers", "optimizer")
RECIPE = """
[model]
family = "toygan"
[data]
batch = 8
flip = true
[objective]
start = 3
[optimizer]
lr = 1e-2
[schedule]
warmup = 2
[train]
steps = 12
accumulate = 2
channels_last = true
ema = 0.9
checkpoint_every = 4
log_every = 1
eval_every = 6
eval_batches = 1
grid_every = 6
"""


def environment():
    paths = [str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


def here(text, out, **options):
    plan = parse(text)
    return train(plan, out, family=toy.family(plan.model.family), data=toy.data(), **options)


def started(arguments, out, recipe):
    """Run a program that trains `recipe` in `out`; its exit status and its last words."""
    file = out.with_suffix(".toml")
    file.write_text(recipe)
    command = [sys.executable, *map(str, arguments(file, out))]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stderr[-8000:]


def launched(options, out, recipe=RECIPE):
    launch = ["-m", "accelerate.commands.launch", *options, "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--main_process_port", "0"]
    status, words = started(lambda file, out: [*launch, TOY, file, out], out, recipe)
    assert status == 0, words
    state = json.loads((checkpoint.every(out)[-1] / "state.json").read_text())
    assert state["processes"] == 2
    return out


def tensors(run, name):
    return load_file(checkpoint.every(run)[-1] / f"{name}.safetensors")


def assert_the_same_curve(one, other, count):
    curves = [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (one, other)
    ]
    for left, right in zip(*curves, strict=True):
        assert left.keys() == right.keys()
        names = [name for name in left if "/" in name]
        assert names
        for name in names:
            assert left[name] == pytest.approx(right[name], rel=2e-4, abs=2e-5), (
                left["step"],
                name,
            )
    assert len(curves[0]) == count


def test_a_killed_run_goes_on_in_the_same_bits(tmp_path):
    whole = here(RECIPE, tmp_path / "whole")
    run = tmp_path / "run"
    status, words = started(lambda file, out: [TOY, file, out, 10], run, RECIPE)
    assert status == -signal.SIGKILL, words
    assert checkpoint.steps_of(checkpoint.every(run)[-1]) == 8
    here(RECIPE, run)
    for name in FILES:
        expected, found = tensors(whole, name), tensors(run, name)
        assert expected.keys() == found.keys()
        assert all((expected[key] == found[key]).all() for key in expected), name
    assert_the_same_curve(whole, run, 12 + 3)


def test_two_processes_share_the_work(tmp_path):
    whole = here(RECIPE, tmp_path / "whole")
    one_part = RECIPE.replace("accumulate = 2", "accumulate = 1")
    assert_the_same_curve(launched(["--multi_gpu"], tmp_path / "run", one_part), whole, 12 + 3)


def test_two_processes_share_the_weights(tmp_path):
    """FSDP2 over gloo, taking up a run that one process began."""
    whole = here(RECIPE, tmp_path / "whole")
    run = tmp_path / "run"
    here(RECIPE, run)
    shutil.rmtree(checkpoint.every(run)[-1])
    one_part = RECIPE.replace("accumulate = 2", "accumulate = 1")
    launched(["--use_fsdp", "--fsdp_version", "2"], run, one_part)
    assert_the_same_curve(whole, run, 12 + 3)
    averaged = checkpoint.read(checkpoint.every(run)[-1])[0]["ema"]
    for key, value in tensors(whole, "ema").items():
        assert torch.allclose(value, averaged[key], rtol=1e-3, atol=1e-4), key
