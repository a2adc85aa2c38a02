"""A DALL-E in pieces on two and four processes over gloo, against one that holds it whole: the same curve.

What is left is the order in which float32 sums are taken: see tests/train/test_sharding.py.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import dalle_processes
import pytest
import torch
import toys
from dalle_processes import PLAN

from zoo.train import checkpoint
from zoo.train.parallel import blocks_of

FULL = 'accumulate = 1\nshard = "full"\ngradient_checkpointing = true\n'
RECIPES = {
    "full": PLAN.replace("FEED", "geglu") + FULL,
    "tensor": PLAN.replace("FEED", "gelu") + 'accumulate = 2\nshard = "full"\ntensor = 2\n',
    "both": PLAN.replace("FEED", "gelu") + FULL + "tensor = 2\n",  # two groups of two
}
PROCESSES = {"full": 2, "tensor": 2, "both": 4}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for name, text in RECIPES.items():
        for count in (PROCESSES[name], 1):
            (root / str(count)).mkdir(exist_ok=True)
            alone = text.replace("accumulate = 1", "accumulate = 2")
            (root / str(count) / f"{name}.toml").write_text(alone if count == 1 else text)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]
    source = Path(dalle_processes.__file__)
    paths = os.pathsep.join([str(source.parents[2]), str(source.parents[2] / "plugins")])
    for count in ("2", "4"):
        done = subprocess.run(
            [sys.executable, *launch, count, str(source), str(root / count)],
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
    dalle_processes.runs(root / "1")
    return root


@pytest.mark.parametrize("name", RECIPES)
def test_the_curve_is_that_of_one_process(folders, name):
    curves = [
        [
            json.loads(line)
            for line in (folders / str(place) / name / "metrics.jsonl").read_text().splitlines()
        ]
        for place in (PROCESSES[name], 1)
    ]
    assert len(curves[0]) == len(curves[1]) == 6 + 3
    for ours, theirs in zip(*curves, strict=True):
        for key in (each for each in theirs if "/" in each):
            assert ours[key] == pytest.approx(theirs[key], rel=2e-4, abs=2e-5), (ours["step"], key)
    read = [
        checkpoint.read(checkpoint.every(folders / str(place) / name)[-1])
        for place in (PROCESSES[name], 1)
    ]
    assert read[0][1]["sharded"]
    for key, value in read[1][0]["model"].items():
        torch.testing.assert_close(read[0][0]["model"][key], value, rtol=1e-3, atol=1e-4)


def test_blocks_that_share_weights_are_one_piece():
    assert len(blocks_of(toys.net(classes=3))) == 2
    shared = toys.net(classes=3, shape={"shared_attention": [0]})
    assert blocks_of(shared) == []
    assert shared.tensor_plan() == {}
    gated = toys.net(classes=3, shape={"feed": "geglu"}).tensor_plan()
    assert set(gated.values()) == {"gather"}
