"""A hub as a plain folder that huggingface_hub takes for its cache: no server, no network."""

import os
import stat
import subprocess
import sys

import pytest
from served_here import served
from wire import ask, commit, commit_large, upload

from zoo.cli import cli
from zoo.errors import HubError, UnknownModel
from zoo.hub.server.store import Store
from zoo.hub.server.view import lay_out

DATA = bytes(range(256)) * 400
LOAD = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event == "socket.connect" else None)
from pathlib import Path
import huggingface_hub as hub
tagged = Path(hub.snapshot_download("me/toy", revision="v1"))
assert (tagged / "sub/w.bin").read_bytes() == bytes(range(256)) * 400
assert not (tagged / "late.txt").exists()
assert Path(hub.hf_hub_download("me/toy", "late.txt")).read_text() == "late"
branch = hub.hf_hub_download("me/toy", "sub/w.bin", revision="feature/x")
assert Path(branch).read_bytes() == (tagged / "sub/w.bin").read_bytes()
assert hub.ModelCard.load("me/toy").data.license == "mit"
assert Path(hub.hf_hub_download("me/toy", "d", repo_type="dataset")).read_bytes() == b"d"
assert not seen, seen
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "hub"
    with served(folder) as hub:
        for body in ({"name": "toy"}, {"name": "toy", "type": "dataset"},
                     {"name": "secret", "private": True}):  # fmt: skip
            assert ask(hub, "POST", "/api/repos/create", "hf_writer", body)[0] == 200
        assert commit(hub, "me/toy", {"README.md": b"---\nlicense: mit\n---\n"})[0] == 200
        assert commit_large(hub, "me/toy", "sub/w.bin", upload(hub, "me/toy", DATA))[0] == 200
        for kind, body in (("tag/main", {"tag": "v1"}), ("branch/feature%2Fx", {})):
            assert ask(hub, "POST", f"/api/models/me/toy/{kind}", "hf_writer", body)[0] == 200
        assert commit(hub, "me/toy", {"late.txt": b"late"})[0] == 200
        line = b'{"key":"header","value":{"summary":"d"}}\n'
        line += b'{"key":"file","value":{"path":"d","content":"ZA==","encoding":"base64"}}'
        path = "/api/datasets/me/toy/commit/main"
        assert ask(hub, "POST", path, "hf_writer", line)[0] == 200
    return folder


def test_the_client_loads_from_a_view_without_a_network(folder, tmp_path):
    from click.testing import CliRunner

    done = CliRunner().invoke(cli, ["hub", "view", str(folder), str(tmp_path / "view")])
    assert done.exit_code == 0, done.output
    assert "me/toy: feature/x, main, v1" in done.output
    assert "secret" not in done.output
    every = list((tmp_path / "view").rglob("*"))
    assert not [each for each in every if each.is_symlink() or "secret" in str(each)]
    for each in every:
        if each.is_file():
            each.chmod(stat.S_IREAD)
    told = {
        **os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_CACHE": str(tmp_path / "view"),
        "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", LOAD], env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_view_is_brought_up_to_date_and_holds_what_is_asked_for(folder, tmp_path):
    store = Store.at(folder)
    assert [each.name for each in lay_out(store, tmp_path, ["me/secret"])] == ["me/secret"]
    assert [each.name for each in tmp_path.iterdir()] == ["models--me--secret"]
    first = lay_out(store, tmp_path)
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "models--me--toy").rglob("w.bin")
    }
    assert lay_out(store, tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(UnknownModel, match=r"no 'me/tox'\. Did you mean 'me/toy'\?"):
        lay_out(store, tmp_path, ["me/tox"])


def test_damage_is_not_laid_out(folder, tmp_path):
    blob = next((folder / "blobs").glob("*/*"))
    was = blob.read_bytes()
    blob.chmod(0o600)
    try:
        blob.write_bytes(was[:-1] + b"x")
        with pytest.raises(HubError, match=r"sub/w\.bin is damaged"):
            lay_out(Store.at(folder), tmp_path)
        assert not list(tmp_path.rglob("w.bin"))
    finally:
        blob.write_bytes(was)
