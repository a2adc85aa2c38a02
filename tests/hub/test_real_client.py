"""The unmodified huggingface_hub, in a process of its own, against a server in another."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from wire import ask

from zoo.cli import cli

DRIVER = Path(__file__).with_name("driver.py")


def drive(hub, tmp_path, python=sys.executable, **environment):
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), **environment}
    done = subprocess.run(
        [python, str(DRIVER), hub.url], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def client(hub, home, script, *arguments):
    """What a script prints that runs with HF_ENDPOINT and the writer's token from its start."""
    environment = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HOME": str(home),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "0",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("xet", ["", "1"], ids=["default", "HF_HUB_DISABLE_XET"])
def test_every_step(hub_server, tmp_path, xet):
    told = drive(hub_server, tmp_path, HF_HUB_DISABLE_XET=xet)
    assert len(told["steps"]) >= 30
    assert {name: error for name, error in told["steps"].items() if error} == {}


PUSH = """
import sys, huggingface_hub as hub
hub.create_repo("me/toy", exist_ok=True)
hub.upload_file(path_or_fileobj=sys.argv[1], path_in_repo="w.bin", repo_id="me/toy")
"""


def test_a_replaced_folder_under_a_client_that_remembers_its_chunks(hub_server, tmp_path):
    hub, source = hub_server, tmp_path / "w.bin"
    source.write_bytes(random.Random(5).randbytes(2_000_000))
    client(hub, tmp_path / "home", PUSH, str(source))
    hub.kill()
    shutil.rmtree(hub.folder)
    hub.restart()
    client(hub, tmp_path / "home", PUSH, str(source))
    assert ask(hub, "GET", "/me/toy/resolve/main/w.bin")[2] == source.read_bytes()


def test_damage_is_healed_by_a_client_that_remembers_its_chunks(hub_server, tmp_path):
    hub, source = hub_server, tmp_path / "w.bin"
    source.write_bytes(random.Random(6).randbytes(2_000_000))
    client(hub, tmp_path / "home", PUSH, str(source))
    hub.kill()
    blob = next((hub.folder / "blobs").glob("*/*"))
    blob.chmod(0o600)
    blob.write_bytes(bytes(2_000_000))
    done = CliRunner().invoke(cli, ["hub", "check", str(hub.folder), "--mend"])
    assert done.exit_code == 1
    hub.restart()
    client(hub, tmp_path / "home", PUSH, str(source))
    assert ask(hub, "GET", "/me/toy/resolve/main/w.bin")[2] == source.read_bytes()
