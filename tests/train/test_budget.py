"""The numbers on paper against what two processes hold and send, and against the page that quotes them."""

import json
import subprocess
import sys
from pathlib import Path

import blocks
import measure
import pytest
from test_processes import environment

import zoo
from zoo.train.budget import Net, Plan, budget, plans_of, sent, stored, table

DALLE = Net(64, 3968, 62, 1280, 24576)
PAGE = Path(zoo.__file__).parent / "train" / "README.md"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, measure.__file__, str(folder)],
        env=environment(), capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-8000:]
    return {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}


def counts():
    net = blocks.Stack()
    inside = sum(p.numel() for p in net.stack.parameters())
    return inside, sum(p.numel() for p in net.parameters()) - inside


@pytest.mark.parametrize("shard", ["full", "grads"])
def test_two_processes_hold_and_send_what_the_formulas_say(measured, shard):
    found, plan = measured[shard], Plan(2, shard=shard)
    inside, rest = counts()
    copy = 4 * stored(inside, rest, plan)
    assert [found[key] for key in ("parameters", "gradients", "averages")] == [copy] * 3
    assert found["moments"] == 2 * copy
    moved = found["collectives"]
    whole = sum(moved["c10d::_allgather_base_"]) + sum(moved["c10d::_reduce_scatter_base_"])
    assert whole / 2 == sent(inside, rest, plan)  # a ring of two sends half of each


def test_two_processes_of_one_layer(measured):
    found = measured["tensor"]
    layers = [each for block in blocks.Stack().stack for each in (block.wide, block.narrow)]
    weights = sum(each.weight.numel() for each in layers)
    inside, rest = counts()
    outward = 16 * 48 + 48
    cut = weights + 3 * 64 + outward  # and biases of column layers; those of row layers are copies
    assert found["parameters"] == 4 * (cut / 2 + inside + rest - cut)
    reduced = found["collectives"]["_c10d_functional::all_reduce"]
    picture = 4 * 4 * 16 * 4  # b N w numbers of 4 bytes
    assert reduced == [picture] * (2 * blocks.DEPTH + 1)  # forward, backward; the gather's backward


def test_twelve_billion_parameters_by_hand():
    assert DALLE.parameters == 64 * 12 * 3968**2 + (2 * 24576 + 1280) * 3968
    found = budget(DALLE, Plan(64))
    assert found.parameters == pytest.approx(4 * 12.292e9 / 64, rel=1e-3)
    assert found.moments == 2 * found.parameters
    assert found.sent == pytest.approx(63 / 64 * 12 * 12.292e9, rel=0.01)
    kept = budget(DALLE, Plan(64, checkpointing=False))
    assert kept.activations == 34 * 1280 * 3968 * 64
    unfused = budget(DALLE, Plan(64, checkpointing=False, fused=False))
    assert unfused.activations - kept.activations == 5 * 62 * 1280**2 * 64
    eight = budget(DALLE, Plan(8, 8))
    assert eight.sent_in_layers == 6 * 64 * 2 * 7 / 8 * 2 * 1280 * 3968
    alone = budget(DALLE, Plan(1, shard="none"))
    assert (alone.sent, alone.sent_in_layers, alone.gathered) == (0, 0, 0)


def test_the_page_quotes_what_the_program_says():
    assert table(DALLE, plans_of([8, 64, 512], 4)) in PAGE.read_text()
