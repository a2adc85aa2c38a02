"""Without a network no socket is made, whatever is asked for; what is here goes on working."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.hub.pulling import pull
from zoo.sharing import push

WATCH = """
import sys
seen = []
def hook(event, args):
    if event.startswith("socket.") and event != "socket.gethostname":
        seen.append((event, str(args)))
sys.addaudithook(hook)
"""


def watched(code, *arguments, **environment):
    """Run code in a process whose sockets are recorded; what it printed, and the sockets."""
    program = WATCH + code + "\nimport json\nprint('\\n' + json.dumps(seen))\n"
    path = os.pathsep.join(
        [str(Path(zoo.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, _, sockets = done.stdout.rstrip().rpartition("\n")
    return said, json.loads(sockets)


ASK = """
import zoo
from zoo.cli import cli
for line in sys.argv[1:]:
    try:
        cli.main(line.split(), prog_name="zoo", standalone_mode=False)
    except zoo.ZooError as error:
        print(type(error).__name__, error)
"""


def test_offline_opens_no_socket(lab, repository, model):
    push(model, f"lab:{repository}", "1.0.0")
    pull(f"{repository}@1.0.0")
    said, sockets = watched(
        ASK,
        f"pull {repository}@1.0.0",
        f"pull lab:{repository}",
        f"pull {repository}@2.0.0",
        f"pull hf:{repository}",
        f"versions {repository}",
        f"show {repository}",
        f"show hf:{repository}",
        "list me/*",
        f"push {model} lab:{repository} --version 3.0.0",
        ZOO_OFFLINE="1",
    )
    assert sockets == []
    assert said.count("HubError") == 5
    assert f"HubError {repository}@2.0.0 is not in the store, and ZOO_OFFLINE=1 forbids" in said
    assert f"In the store: {lab.url}/{repository}@1.0.0." in said


@pytest.mark.parametrize("variable", ["ZOO_OFFLINE", "HF_HUB_OFFLINE"])
def test_either_variable_forbids_the_network(monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(zoo.HubError, match=f"{variable}=1 forbids"):
        pull("hf:me/toy")


def test_the_watch_sees_sockets(lab, repository):
    _, sockets = watched(ASK, f"pull {repository}")
    assert sockets
