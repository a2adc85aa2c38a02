"""Every step of the driver with other versions of huggingface_hub, each in its own environment.

pytest -m long tests/hub/test_client_versions.py       # downloads seven environments, some minutes
ZOO_CLIENTS=~/.cache/zoo-clients pytest -m long ...    # and keeps them
"""

import pytest
from clients import VERSIONS, python_with
from test_real_client import drive

from zoo.testing.hub_server import running

# What the client itself cannot do, whatever the server: nothing at present.
CLIENT_BUGS: dict[str, set[str]] = {}


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    return tmp_path_factory.mktemp("clients")


@pytest.mark.long
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version or "newest")
@pytest.mark.parametrize("xet", ["", "1"], ids=["xet", "no-xet"])
@pytest.mark.parametrize("part", [None, "1MB"], ids=["basic", "multipart"])
def test_every_step(version, xet, part, environments, tmp_path):
    python = python_with(version, environments)
    options = ("--part", part) if part else ()
    with running(tmp_path / "hub", options=options) as hub:
        told = drive(hub, tmp_path, python, HF_HUB_DISABLE_XET=xet)
        assert len(told["steps"]) >= 30
        failed = {name: error for name, error in told["steps"].items() if error}
        assert set(failed) == CLIENT_BUGS.get(version, set()), failed
