"""Two processes over gloo that hold a net in pieces, against one process that holds it whole.

The same pictures, the same random numbers: what is left is the order in which float32 gradients are summed (over two
halves of a batch on two processes, over two accumulated parts on one; over two halves of a layer), some 1e-7 of a
number a sum. AdamW divides by sqrt(v), so a gradient near 0 can carry a larger part into its parameter; over these 12
steps at lr = 1e-2 losses stay within 1e-5 of each other, parameters within 1e-4 of 0.1.
"""

import json
import shutil
import subprocess
import sys

import blocks
import pytest
import torch
import toy
from safetensors.torch import load_file
from test_processes import assert_the_same_curve, environment

from zoo.card import Card
from zoo.train import RecipeError, checkpoint, finish, train
from zoo.train.parallel import blocks_of, layout, recompute
from zoo.train.recipe import parse

PLAN = """
[model]
family = "blocks"
[data]
batch = 8
[optimizer]
lr = 1e-2
[schedule]
warmup = 2
[output]
dtype = "fp32"
[train]
steps = 12
ema = 0.9
checkpoint_every = 4
keep = 3
log_every = 1
eval_every = 6
eval_batches = 1
grid_every = 6
"""
WHOLE = PLAN + "accumulate = 2\n"
FULL = PLAN + 'shard = "full"\ngradient_checkpointing = true\n'
RECIPES = {
    "began-alone": FULL,
    "half": PLAN + 'shard = "grads"\nprecision = "fp16"\n',
    "killed": FULL,
    "tensor": WHOLE + 'shard = "full"\ntensor = 2\n',
    "undisturbed": FULL,
}


def here(text, out):
    return train(parse(text), out, family=blocks.family(), data=toy.data())


def two(folder, **more):
    """Train by every recipe of a folder on two processes; torchrun's exit status and last words."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, blocks.__file__, str(folder)],
        env={**environment(), **more}, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr[-8000:]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All runs on two processes, beside what one process makes of the same recipe.

    "killed" is one whose processes were killed in step 10, taken up by two others.
    """
    root = tmp_path_factory.mktemp("runs")
    both = root / "both"
    both.mkdir()
    (both / "killed.toml").write_text(FULL)
    status, words = two(both, KILL_AT="10")
    assert status, words
    assert "exitcode: -9" in words, words
    assert [checkpoint.steps_of(each) for each in checkpoint.every(both / "killed")] == [4, 8]
    alone = here(WHOLE, root / "alone")
    shutil.copytree(alone, both / "began-alone")
    shutil.rmtree(checkpoint.every(both / "began-alone")[-1])
    for name, text in RECIPES.items():
        (both / f"{name}.toml").write_text(text)
    status, words = two(both)
    assert status == 0, words
    return {"alone": alone, **{name: both / name for name in RECIPES}}


def last(run):
    return checkpoint.read(checkpoint.every(run)[-1])


@pytest.mark.parametrize("name", ["began-alone", "killed", "tensor", "undisturbed"])
def test_the_curve_is_that_of_one_process(runs, name):
    assert_the_same_curve(runs[name], runs["alone"], 12 + 3)
    tensors, state = last(runs[name])
    assert (state["processes"], state["sharded"]) == (2, True)
    expected, _ = last(runs["alone"])
    for group, values in expected.items():
        assert tensors.get(group, {}).keys() == values.keys()
        for key, value in values.items():
            close = torch.allclose(tensors[group][key], value, rtol=1e-3, atol=1e-4)
            assert close or key == "mean", (group, key)  # the mean is of one process's pictures


def test_half_precision_with_loss_scaling_stays_near(runs, tmp_path):
    alone = here(WHOLE + 'precision = "fp16"\n', tmp_path / "half")
    curves = [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (runs["half"], alone, runs["alone"])
    ]
    for ours, theirs, exact in zip(*curves, strict=True):
        name = "stack/loss" if "stack/loss" in ours else "eval/stack/loss"
        assert ours[name] == pytest.approx(theirs[name], rel=2e-3)  # fp16: 11 bits
        assert ours[name] == pytest.approx(exact[name], rel=1e-2)
    assert last(runs["half"])[1]["scaler"]["scale"] >= 2**10


def test_a_killed_run_goes_on_in_the_same_bits(runs):
    expected, found = last(runs["undisturbed"])[0], last(runs["killed"])[0]
    for group, values in expected.items():
        for key, value in values.items():
            assert torch.equal(found[group][key], value), (group, key)


def test_what_two_began_one_ends(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs["undisturbed"], run)
    shutil.rmtree(checkpoint.every(run)[-1])
    here(WHOLE, run)
    assert (checkpoint.every(run)[-1] / "model.safetensors").is_file()
    assert_the_same_curve(run, runs["alone"], 12 + 3)


def test_the_export_is_one_file_of_whole_weights(runs):
    exported = [
        load_file(finish(runs[name], "stack", family=blocks.family()) / "model.safetensors")
        for name in ("undisturbed", "alone")
    ]
    averaged = last(runs["undisturbed"])[0]["ema"]
    assert all(torch.equal(exported[0][key], value) for key, value in averaged.items())
    blocks.Stack().load_state_dict(exported[0])
    for key, value in exported[1].items():
        close = torch.allclose(exported[0][key], value, rtol=1e-3, atol=1e-4)
        assert close or key == "mean", key
    assert Card.read(runs["alone"] / "stack").training.images == 12 * 8


def test_a_damaged_piece_is_named(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs["undisturbed"], run)
    (checkpoint.every(run)[-1] / "shards" / ".metadata").unlink()
    with pytest.raises(checkpoint.WeightsError, match=r"step-00000012 is damaged: .*Delete it"):
        here(WHOLE, run)


def test_recomputed_blocks_give_the_same_bits(tmp_path):
    """Dropout too: random numbers are drawn again alike."""
    plain = last(here(PLAN, tmp_path / "plain"))[0]
    again = last(here(PLAN + "gradient_checkpointing = true\n", tmp_path / "again"))[0]
    for group, values in plain.items():
        assert all(torch.equal(again[group][key], value) for key, value in values.items())


def test_recomputing_keeps_less():
    kept = []
    for wanted in (False, True):
        net = blocks.Stack().train()
        if wanted:
            recompute(net)
        sizes = []

        def keep(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            net.encode(torch.randn(4, 3, 8, 8))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 3


def test_what_cannot_be_divided_is_refused(tmp_path):
    class Eight:
        num_processes, process_index = 8, 0

    text = PLAN.replace("batch = 8", "batch = 12")
    with pytest.raises(RecipeError, match="tensor = 3 does not divide 8 processes"):
        layout(parse(text + 'shard = "full"\ntensor = 3\n'), Eight())
    with pytest.raises(RecipeError, match="batch = 12 does not divide among 8 processes"):
        layout(parse(text), Eight())
    with pytest.raises(RecipeError, match="tensor = 2 goes with shard = 'full'"):
        parse(PLAN + "tensor = 2\n")
    with pytest.raises(RecipeError, match="channels_last and shard exclude each other"):
        parse(FULL + "channels_last = true\n")
    with pytest.raises(RecipeError, match="Coder names none"):
        recompute(toy.Coder())
    assert blocks_of(toy.Coder()) == []
