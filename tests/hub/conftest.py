import sys
from pathlib import Path

import pytest

from zoo.testing.hub_server import hub_server as hub_server
from zoo.testing.hub_server import running

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def shared_hub(tmp_path_factory):
    """One hub for the tests of a module; each makes repositories of its own."""
    with running(tmp_path_factory.mktemp("hub") / "hub") as hub:
        yield hub
