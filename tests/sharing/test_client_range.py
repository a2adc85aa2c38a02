"""genzoo's own hub commands by every version of huggingface_hub that it may be installed with.

python -m pytest -m long tests/sharing/test_client_range.py      # makes eight environments
ZOO_CLIENTS=~/.cache/zoo-clients python -m pytest -m long ...    # and keeps them
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import zoo

sys.path.insert(0, str(Path(__file__).parents[1] / "hub"))
from clients import VERSIONS, python_with


def own(lab, folder, *packages):
    """What own_client.py says, with these folders of packages before those that are installed."""
    root = Path(zoo.__file__).parent.parent
    told = {
        **os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*packages, root, root / "plugins"])),
        "ZOO_HOME": str(folder / "home"), "HF_HOME": str(folder / "hf"),
    }  # fmt: skip
    script = str(Path(__file__).with_name("own_client.py"))
    done = subprocess.run(
        [sys.executable, script, str(folder)], env=told, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_by_the_version_that_is_installed(lab, tmp_path):
    assert own(lab, tmp_path)["pulled"] == "1.0.0"


@pytest.mark.long
@pytest.mark.parametrize("version", ["0.30.0", *VERSIONS], ids=lambda version: version or "newest")
def test_by_other_versions(lab, tmp_path, tmp_path_factory, version):
    python = Path(python_with(version, tmp_path_factory.getbasetemp() / "clients"))
    (packages,) = python.parent.parent.rglob("site-packages/huggingface_hub")
    told = own(lab, tmp_path, packages.parent)
    assert told["pulled"] == "1.0.0"
    assert not version or told["client"] == version
