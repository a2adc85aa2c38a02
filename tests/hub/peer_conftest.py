"""Laid beside huggingface_hub's own tests as their conftest.py, which its sdist does not carry.

Written from what those tests ask for. Each test's outcome, and whether it asked our server anything,
goes as a line of JSON to the file that ZOO_PEERS names.
"""

import json
import os
from pathlib import Path
from typing import Protocol

import httpx2
import pytest
from huggingface_hub import HfApi, RepoUrl

from .testing_constants import ENDPOINT_STAGING, TOKEN, USER
from .testing_utils import repo_name

ASKED = []
SEND = httpx2.Client.send


def counted(client, request, **more):
    if str(request.url).startswith(ENDPOINT_STAGING):
        ASKED.append(request.url)
    return SEND(client, request, **more)


httpx2.Client.send = counted


class RepoFactory(Protocol):
    def __call__(self, repo_type: str = "model", **more) -> RepoUrl: ...


@pytest.fixture(scope="session")
def api():
    return HfApi(endpoint=ENDPOINT_STAGING, token=TOKEN)


@pytest.fixture
def new_repo_id(api):
    name = f"{USER}/{repo_name()}"
    yield name
    api.delete_repo(name, missing_ok=True)


@pytest.fixture
def repo_factory(api):
    made = []

    def create(repo_type="model", **more):
        more.setdefault("repo_id", repo_name())
        made.append((api.create_repo(repo_type=repo_type, **more), more.get("token")))
        return made[-1][0]

    yield create
    for url, token in made:
        api.delete_repo(url.repo_id, repo_type=url.repo_type, missing_ok=True, token=token)


@pytest.fixture(autouse=True)
def caches_of_its_own(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    for name in ("HF_HUB_CACHE", "HF_ASSETS_CACHE", "HF_XET_CACHE"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(folder / name))


@pytest.fixture(autouse=True)
def deprecated_as_said(request):
    if request.node.get_closest_marker("deprecated"):
        with pytest.warns(FutureWarning):
            yield
    else:
        yield


def pytest_collection_modifyitems(items):
    for item in items:
        for name in ("production", "git_lfs", "no_xet"):
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=f"{name}: not this server's"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    ASKED.clear()
    return (yield)


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        row = {"test": report.nodeid, "when": report.when, "outcome": report.outcome,
               "asked": len(ASKED), "error": str(report.longrepr)[-400:]}  # fmt: skip
        with Path(os.environ["ZOO_PEERS"]).open("a") as file:
            file.write(json.dumps(row) + "\n")
