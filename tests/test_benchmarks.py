"""The benchmarks' arithmetic and manners; none of them is timed here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.benchmarks.harness import Rounds, agree, measure
from tests.benchmarks.peers import Absent, peer

ROOT = Path(__file__).parents[1]


def rounds(ours, peer, cpu=None):
    wall = {"ours": ours, "peer": peer}
    return Rounds(wall, cpu or wall, 1)


@pytest.mark.parametrize(
    ("ours", "peer", "verdict"),
    [
        ([1.0, 1.0, 1.0], [1.3, 1.4, 1.5], "pass"),
        ([1.0, 1.0, 1.0], [1.1, 1.2, 1.3], "MISS"),
        ([1.0, 1.0, 1.0], [1.0, 1.4, 1.45], "MISS"),  # a good median over a bad quarter
        ([1.0, 1.0, 1.0], [1.0, 1.6, 1.7], "inconclusive"),
    ],
)
def test_verdicts(ours, peer, verdict):
    assert (
        rounds(ours, peer).judge("x", "ours", "peer", 1.4 if max(peer) == 1.45 else 1.3).verdict
        == verdict
    )


def test_cpu_time_decides_where_wall_time_is_torn():
    torn = rounds([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], {"ours": [1.0] * 3, "peer": [2.0] * 3})
    result = torn.judge("x", "ours", "peer", 1.5)
    assert (result.verdict, result.numbers["judged_by"]) == ("pass", "cpu")


def test_one_wild_round_in_ten_is_set_aside():
    ratio = rounds([1.0] * 10, [2.0] * 9 + [9.0]).ratio("ours", "peer")
    assert ratio.spread == 1.0
    assert max(ratio.pairs) == 9.0


def test_the_order_turns_and_every_side_is_called_as_often():
    called = []

    def side(name):
        def call():
            called.append(name)
            torch.ones(1 << 12).sum()

        return call

    found = measure({"a": side("a"), "b": side("b"), "c": side("c")}, 3)
    timed = called[6:]  # two calls of each to warm up
    assert len(timed) == 9 * found.loops
    assert timed[:: found.loops] == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert {len(each) for each in found.wall.values()} == {3}


def test_other_output_ends_the_benchmark():
    with pytest.raises(SystemExit, match=r"largest difference is 1\.00e-01, allowed 1e-03"):
        agree("pictures", torch.tensor([1.1]), torch.tensor([1.0]), 1e-3)
    with pytest.raises(SystemExit, match="shapes"):
        agree("pictures", torch.ones(2), torch.ones(3), 1e-3)


def test_an_absent_peer_is_an_error_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "taming", None)
    with pytest.raises(Absent, match="pip install --no-deps taming-transformers"):
        peer("taming")


def python(*arguments):
    command = [sys.executable, "-m", "tests.benchmarks", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=dict(os.environ), check=False
    )


def test_they_are_listed():
    done = python("--list")
    assert done.returncode == 0
    for name in ("importing", "building", "loading", "codec", "lookup", "coding", "training"):
        assert f"\n{name} " in f"\n{done.stdout}"
        assert (ROOT / "tests" / "benchmarks" / f"{name}.py").is_file()


def test_an_unknown_one_is_named():
    done = python("codecs")
    assert done.returncode == 2
    assert "no benchmark 'codecs'; there are importing" in done.stderr
