"""A hub of one's own for a module of tests, small models to push, and a client that may use it."""

import secrets

import pytest
from parcels import make, tensor

from zoo.testing.hub_server import running


@pytest.fixture(scope="session")
def shared_hub(tmp_path_factory):
    with running(tmp_path_factory.mktemp("hub") / "hub") as hub:
        yield hub


@pytest.fixture
def hub_of(monkeypatch):
    """Make a hub the one that is called lab, with its token."""

    def chosen(hub):
        monkeypatch.setenv("ZOO_HUBS", f"lab={hub.url}")
        monkeypatch.setenv("ZOO_HUB_TOKEN", hub.token)
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        return hub

    return chosen


@pytest.fixture
def lab(shared_hub, hub_of):
    return hub_of(shared_hub)


@pytest.fixture
def repository():
    """The name of a repository that no other test uses."""
    return f"me/toy-{secrets.token_hex(4)}"


@pytest.fixture
def model(tmp_path):
    """The folder of a model with 100 kB of weights and a small file."""
    files = {"model.safetensors": tensor(100_000), "recipe.toml": b"steps = 3\n"}
    return make(tmp_path / "toy", files)
