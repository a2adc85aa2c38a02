"""A server that is killed while it is written to: refs are old or new, and it starts again.

pytest -m long tests/hub/test_server_crash.py     # 200 rounds, and 50 clients at once
"""

import random
import subprocess
import threading
import time
from hashlib import sha256

import pytest
from wire import ask, commit, commit_large, upload


def push(hub, number, done):
    data = random.Random(number).randbytes(2_000_000)
    try:
        digest = upload(hub, "me/toy", data)
        status, said = commit_large(hub, "me/toy", "w.safetensors", digest)
        assert status == 200, said
        done.append(said["commitOid"])
    except (OSError, AssertionError):  # the server went away, which is what this is about
        pass


@pytest.mark.parametrize("rounds", [4, pytest.param(200, marks=pytest.mark.long)])
def test_kill_9_leaves_the_old_or_the_new(hub_server, rounds):
    hub = hub_server
    assert ask(hub, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
    repo = hub.folder / "repositories/models/me/toy"
    clock, confirmed = random.Random(0), None
    started = time.monotonic()
    push(hub, 0, [])
    usual = time.monotonic() - started
    for number in range(1, rounds + 1):
        done = []
        thread = threading.Thread(target=push, args=(hub, number, done))
        thread.start()
        time.sleep(clock.random() * usual * 1.2)
        hub.kill()
        thread.join()
        head = (repo / "refs/heads/main").read_text().strip()
        confirmed = done[0] if done else confirmed
        ask_git = subprocess.run(
            ["git", f"--git-dir={repo}", "fsck", "--full", "--strict"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert ask_git.returncode == 0, ask_git.stderr
        hub.restart()
        assert list((hub.folder / "partial").iterdir()) == []
        for blob in (hub.folder / "blobs").rglob("*"):
            assert blob.is_dir() or sha256(blob.read_bytes()).hexdigest() == blob.name
        status, headers, data = ask(hub, "GET", "/me/toy/resolve/main/w.safetensors")
        assert (status, headers["X-Repo-Commit"]) == (200, head)
        assert sha256(data).hexdigest() == headers["ETag"].strip('"')
        if done:
            assert head == done[0]
    assert commit(hub, "me/toy", {"after.txt": b"alive"})[0] == 200


@pytest.mark.parametrize("clients", [12, pytest.param(50, marks=pytest.mark.long)])
def test_no_commit_of_many_at_once_is_lost(hub_server, clients):
    assert ask(hub_server, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
    told = {}

    def one(number):
        digest = upload(hub_server, "me/toy", b"large %d" % number * 20_000)
        large = commit_large(hub_server, "me/toy", f"{number}.bin", digest)[0]
        told[number] = large, commit(hub_server, "me/toy", {f"{number}.txt": b"%d" % number})[0]

    threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(told.values()) == {(200, 200)}
    tree = ask(hub_server, "GET", "/api/models/me/toy/tree/main")[2]
    names = [f"{number}.{end}" for number in range(clients) for end in ("txt", "bin")]
    assert all(f'"{name}"'.encode() in tree for name in names)
    history = ask(hub_server, "GET", "/api/models/me/toy/commits/main")[2]
    assert history.count(b'"title":"test"') == clients
    assert history.count(b'"title":"large"') == clients


def test_a_commit_made_for_another_head_is_refused(hub_server):
    assert ask(hub_server, "POST", "/api/repos/create", "hf_writer", {"name": "toy"})[0] == 200
    first = commit(hub_server, "me/toy", {"a.txt": b"1"})[1]["commitOid"]
    assert commit(hub_server, "me/toy", {"a.txt": b"2"})[0] == 200
    status, said = commit(hub_server, "me/toy", {"a.txt": b"3"}, parentCommit=first)
    assert (status, "updated since" in said["error"]) == (412, True)


def test_one_folder_one_server(hub_server):
    from zoo.errors import HubError
    from zoo.testing.hub_server import running

    with pytest.raises(HubError, match="served by another process"), running(hub_server.folder):
        pass


def test_a_folder_without_locks_is_served_with_a_warning(tmp_path, monkeypatch):
    import fcntl
    import os

    from zoo.errors import HubError
    from zoo.hub.server.running import claimed
    from zoo.hub.server.store import Store

    store = Store.at(tmp_path)
    os.close(claimed(store))

    def none(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.warns(UserWarning, match="No locks available.*serve it once only"):
        assert claimed(store) is None
    (tmp_path / "serving").unlink()
    (tmp_path / "serving").mkdir()  # what opening it for writing says on a read-only mount, too
    with pytest.raises(HubError, match=r"cannot be written: .*zoo hub serve file://"):
        claimed(store)
