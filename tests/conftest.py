"""Every test has a store of its own and one thread, and reaches no network that it did not
start."""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
THIRD_PARTY = Path(__file__).parent / "third_party"


@pytest.fixture(autouse=True)
def _own_store(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("ZOO_PATH", raising=False)


@pytest.fixture(scope="session")
def pixelgauss():
    """The stranger's family, registered as if it were installed."""
    from zoo import plugins

    sys.path.insert(0, str(THIRD_PARTY / "zoo-pixelgauss"))
    try:
        import zoo_pixelgauss
    finally:
        sys.path.pop(0)
    return plugins.register("pixelgauss", zoo_pixelgauss, "zoo-pixelgauss 0.1")
