"""Whole and right or not at all: killed pullers, two at once, bad lines, no locks, full disks.

The long versions, 200 killed pulls and 100 killed pushes:

    python -m pytest -m long tests/sharing/test_downloads.py
"""

import json
import os
import subprocess
import sys
import threading
from collections import namedtuple
from hashlib import sha256
from pathlib import Path

import pytest
from faulty import line_to
from parcels import make, tensor

import zoo
from zoo.errors import HubError
from zoo.hub import download, partial
from zoo.hub.download import blob, fetch
from zoo.hub.home import home
from zoo.hub.pulling import pull
from zoo.sharing import push

HERE = Path(__file__).parent
DATA = tensor(1_000_000)
DIGEST = sha256(DATA).hexdigest()


@pytest.fixture
def line(lab, monkeypatch):
    """A line to the hub that is called lab now."""
    made, end = line_to(lab.url)
    monkeypatch.setenv("ZOO_HUBS", f"direct={lab.url},lab={made.url}")
    monkeypatch.setattr(download, "PAUSE", 0.001)
    yield made
    end()


@pytest.fixture
def big(line, repository, tmp_path):
    """A repository with 1 MB of weights, and its file's address by the line."""
    done = push(
        make(tmp_path / "big", {"model.safetensors": DATA}), f"direct:{repository}", "1.0.0"
    )
    return (
        f"lab:{repository}@1.0.0",
        f"{line.url}/{repository}/resolve/{done.commit}/model.safetensors",
    )


def run(script, *arguments):
    """The JSON lines that a script beside this one prints."""
    path = os.pathsep.join(
        [str(Path(zoo.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    )
    done = subprocess.run(
        [sys.executable, str(HERE / script), *map(str, arguments)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(each) for each in done.stdout.splitlines()]


def killed(big, rounds, seed):
    """Rounds of killed pulls; the rows of `killing.py`, none of which saw a wrong byte."""
    rows = run("killing.py", big[0], rounds, seed, len(DATA))
    assert len(rows) == rounds + 1, rows
    assert not [row for row in rows if row["wrong"] or row["code"]]
    assert all(len(row["left"]) <= 1 for row in rows)  # one file, one partial: nothing is orphaned
    assert rows[-1]["left"] == []
    return rows


def killed_pushes(lab, repository, folder, rounds):
    """Rounds of killed pushes; every version arrived whole in the end, once."""
    rows = run("killing_pushes.py", folder, f"lab:{repository}", rounds, 3)
    assert [row["got"] for row in rows[:-1]] == [f"1.0.{index}" for index in range(rounds)]
    assert set(rows[-1]["versions"]) == {"0.0.1", *(f"1.0.{index}" for index in range(rounds))}
    return rows[:-1]


def test_killed_pushes_leave_a_version_or_none(lab, repository, tmp_path):
    killed_pushes(lab, repository, make(tmp_path / "small"), 3)


@pytest.mark.long
def test_100_killed_pushes(lab, repository, model):
    rows = killed_pushes(lab, repository, model, 100)
    assert sum(row["killed"] for row in rows) > 50
    assert sum(not row["arrived"] for row in rows) > 5


def test_killed_pulls_resume_and_leave_nothing(line, big):
    line.pause = 0.004
    rows = killed(big, rounds=5, seed=1)
    assert any(any(row["left"]) for row in rows)
    starts = [start for path, start, _ in line.sent if path.endswith("model.safetensors")]
    kept = {size for row in rows for size in row["left"]}
    assert any(starts)
    assert set(starts) <= kept | {0}  # exactly what is missing is asked for


@pytest.mark.long
def test_200_killed_pulls(line, big):
    line.pause = 0.004
    rows = killed(big, rounds=200, seed=2)
    assert sum(any(row["left"]) for row in rows) > 20
    assert sum(row["done"] for row in rows) > 20


def test_the_second_pull_transfers_what_is_missing(line, big):
    line.cut = 400_000
    mine = partial.Partial(DIGEST, len(DATA))
    for piece in download.pieces(big[1], 0, len(DATA), None):
        mine.write(piece)
    mine.close(keep=True)
    line.cut, before = None, len(line.sent)
    assert fetch(big[1], DIGEST, len(DATA)).read_bytes() == DATA
    assert line.sent[before:][0][1:] == (400_000, len(DATA) - 400_000)
    assert not list(partial.partials().iterdir())


@pytest.mark.parametrize("at", [0, 7, 100, 500_000, len(DATA) - 1])
def test_a_flipped_bit_on_the_wire_is_found(line, big, at):
    name, _ = big
    line.only, line.flip = "model.safetensors", at
    with pytest.raises(HubError, match="have another sha256 than"):
        pull(name)
    assert not blob(DIGEST).exists()
    assert not list((home() / "hubs").glob("*/*/*"))
    line.flip = None
    assert (pull(name).folder / "model.safetensors").read_bytes() == DATA


@pytest.mark.parametrize("at", [0, 50, 300])
def test_a_flipped_bit_of_a_card_is_found(line, big, at):
    line.only, line.flip = "README.md", at
    with pytest.raises(HubError, match="damaged on the way"):
        pull(big[0])
    line.flip, line.cut = None, at
    with pytest.raises(HubError, match="damaged on the way"):
        pull(big[0])


def test_a_line_that_breaks_is_taken_up_again(line, big):
    line.cut, line.busy = 300_000, 2
    assert fetch(big[1], DIGEST, len(DATA)).read_bytes() == DATA
    assert [start for _, start, _ in line.sent] == [0, 300_000, 600_000, 900_000]


def test_a_server_without_ranges_is_borne(line, big):
    mine = partial.Partial(DIGEST, len(DATA))
    mine.write(DATA[:250_000])
    mine.close(keep=True)
    line.ranges = False
    assert fetch(big[1], DIGEST, len(DATA)).read_bytes() == DATA


def test_a_line_that_gives_nothing_is_left(line, big):
    line.cut = 0
    with pytest.raises(HubError, match=r"0 of 1000\d+ bytes came, then 5 attempts brought nothing"):
        fetch(big[1], DIGEST, len(DATA))
    assert not list(partial.partials().iterdir())


def test_a_partial_that_was_damaged_costs_one_more_try(line, big):
    mine = partial.Partial(DIGEST, len(DATA))
    mine.write(b"\0" * 200_000)
    mine.close(keep=True)
    assert fetch(big[1], DIGEST, len(DATA)).read_bytes() == DATA
    assert [start for _, start, _ in line.sent] == [200_000, 0]


def test_a_token_does_not_follow_a_redirect(line, big):
    other, end = line_to(line.hub)
    try:
        line.away = other.url
        fetch(big[1], DIGEST, len(DATA), token="hf_reader")
        assert line.tokens[-1] == "Bearer hf_reader"
        assert other.tokens == [None]
        line.away = "ftp://127.0.0.1"
        with pytest.raises(HubError, match="no web address"):
            list(download.pieces(big[1], 0, 9, None))
    finally:
        end()


def test_two_at_once_are_both_right(line, big):
    line.pause = 0.002
    got, errors = [], []

    def one():
        try:
            got.append(pull(big[0]))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors
    assert {each.folder for each in got} == {got[0].folder}
    assert zoo.verify(got[0].folder)
    assert not list(partial.partials().iterdir())
    whole = [each for each in line.sent if each[0].endswith("model.safetensors") and each[2]]
    assert len(whole) == 1  # the others waited for it


def test_no_lock_is_needed(line, big, monkeypatch):
    """Not that ours would be broken: none is asked for, by any of the ways there are."""
    import fcntl

    def none(*_):
        raise OSError(37, "No locks available")

    for call in ("flock", "lockf", "fcntl"):
        monkeypatch.setattr(fcntl, call, none)
    assert zoo.verify(pull(big[0]).folder)


def test_a_writer_that_was_thought_dead_does_no_harm(big, line, monkeypatch):
    asleep = partial.Partial(DIGEST, len(DATA))
    asleep.write(DATA[:500_000])
    monkeypatch.setattr(partial, "_lives", lambda pid: False)
    assert fetch(big[1], DIGEST, len(DATA)).read_bytes() == DATA
    asleep.write(b"\xff" * 500_000)  # it wakes, and writes to a file that is its own
    assert blob(DIGEST).read_bytes() == DATA
    asleep.close(keep=True)
    assert not list(partial.partials().iterdir())


def test_a_full_disk_is_told_before_the_first_byte(line, big, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**9, 10**9, 70 << 20))
    monkeypatch.setattr(download, "SPARE", 70 << 20)
    with pytest.raises(HubError, match=r"bytes are to come and \d+ are free below .*zoo hub gc"):
        pull(big[0])
    assert not [each for each in line.sent if each[0].endswith("model.safetensors")]
