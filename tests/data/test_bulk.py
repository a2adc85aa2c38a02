"""Work spread over Ray: nothing is lost and nothing doubled when a worker is killed half-way."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cluster
import pytest
from noise import pictures, tokenizer

import zoo
from zoo import bulk
from zoo.data import encode_set, open_set
from zoo.data.encoding import Encoding, Span
from zoo.errors import DataError, RequestError

ROOT = Path(zoo.__file__).parents[1]


@pytest.fixture
def here(tmp_path):
    return tokenizer(tmp_path), pictures(tmp_path / "noise", 24)


@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra: pip install 'genzoo[ray]'")
def test_a_worker_that_is_killed_loses_and_doubles_nothing(here, tmp_path):
    model, data = here
    out = tmp_path / "out"
    out.mkdir()
    paths = [ROOT, ROOT / "plugins", Path(cluster.__file__).parent]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run(
        [sys.executable, cluster.__file__, model, data, str(out)],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-8000:]
    assert int((out / "died").read_text()) > 1
    encode_set(model, data, tmp_path / "alone", splits=("train",), batch=4, per_shard=8)
    written = {path.name: path.read_bytes() for path in (out / "tokens").iterdir()}
    assert written == {p.name: p.read_bytes() for p in (tmp_path / "alone").iterdir()}


def test_in_one_process_results_come_in_order():
    class Squares:
        def open(self):
            return lambda unit: unit * unit

    assert list(bulk.run(Squares(), range(5), "squares")) == [0, 1, 4, 9, 16]
    assert list(bulk.run(None, [])) == []


def test_an_error_of_a_unit_stops_the_work(here):
    job = Encoding(here[0], "nowhere/", 16, False, None, None)
    with pytest.raises(DataError, match="nowhere does not exist"):
        list(bulk.run(job, [Span("train", 0, 0, 4)]))


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is here")
def test_without_ray_the_extra_is_named(here, tmp_path):
    with pytest.raises(RequestError, match=r"pip install 'genzoo\[ray\]'"):
        encode_set(*here, tmp_path / "out", ray="auto")


def test_an_evaluation_by_units_is_the_evaluation(here):
    """What workers would do, in this process: the numbers are those of the plain loop."""
    from zoo.evaluate import evaluate
    from zoo.evaluate.spread import Spread

    model, data = here
    loaded, held = zoo.load(model), open_set(data, "train", 16)
    units = Spread(None, model, {}, data, "train", 16, None)
    options = {"metrics": ["psnr", "codebook"], "count": 20, "batch_size": 8}
    plain, spread = (
        evaluate(loaded, held, **options),
        evaluate(loaded, held, **options, spread_over=units),
    )
    assert [(each.name, each.value) for each in spread] == [(e.name, e.value) for e in plain]
